"""Errors shown to the user, and helpers for their messages.

A message is one line that says what was wrong, the value, and what to do. The command line prints it without a
traceback and exits with `exit_status`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

# Unicode categories: control characters, invisible ones such as those that change the writing direction, surrogates
# (bytes that are not UTF-8), and line separators. The two joiners, which emoji and several scripts need, are harmless.
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"


class GanzooError(Exception):
    """Any error that the user can fix. The message is shown as it is. Exit status 1."""

    exit_status = 1


class OptionError(GanzooError):
    """An invalid option, preset or name on the command line. Exit status 2, as for every usage error."""

    exit_status = 2


class UnsupportedByModelError(OptionError):
    """A run's model can't do what was requested, but another run's model might."""


class BackendError(GanzooError):
    """Jittor can't be used on this machine in its current state."""


class PluginError(GanzooError):
    """A plugin can't be loaded, clashes with another, or was requested although it is broken."""


class DataError(GanzooError):
    """A data set is missing, empty or damaged."""


class CheckpointError(GanzooError):
    """A checkpoint can't be read or written, or does not fit."""


class CorruptCheckpointError(CheckpointError):
    """A checkpoint is corrupt: its content is not what was written."""


class RunError(GanzooError):
    """A run folder is missing, damaged or in use, or training can't continue."""


class DivergedError(RunError):
    """Too many updates in a row had a loss or gradient that is not finite."""


class ShapeError(RunError):
    """An operation in a network was given an empty array, or one that does not fit its weights."""


NO_MEMORY = "ganzoo: can't allocate"  # in Jittor's error, as patched by ganzoo.backend


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python or Jittor ran out of memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_MEMORY in str(error))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ' Did you mean X?' for the closest of `names`, or '', to be appended to a message. Case and leading dashes
    are ignored."""
    known = {each.lower().lstrip("-"): each for each in names}
    close = difflib.get_close_matches(name.lower().lstrip("-"), known, n=1, cutoff=0.6)
    return f" Did you mean {known[close[0]]!r}?" if close else ""


def printable(text: str | Path) -> str:
    """Make external text (a file name, a name in an archive, a domain) safe for a terminal or a log, as one line.

    Characters that would control the terminal, start a new line or fail to encode become escapes such as \\x1b.
    Applying it again changes nothing.
    """
    text = str(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    unsafe = unicodedata.category(letter) in UNSAFE and letter not in JOINERS
    return letter.encode("unicode_escape").decode() if unsafe else letter


def reason(error: BaseException) -> str:
    """Return an error's message in one line. For a system error, the number and the path are omitted."""
    message = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    return printable(message) or type(error).__name__


def describe_failure(error: BaseException) -> str:
    """Describe an exception in one line: its type and its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: '1 image', '2 images', '1,000 images'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
