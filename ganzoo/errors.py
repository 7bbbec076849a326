"""Errors that speak to the user: one line saying what was wrong, the value, and what to do; and the words in them.

The command line prints the message without a traceback and exits with `exit_status`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Union

# Control characters, invisible ones such as those that turn the direction of writing, bytes that are no UTF-8, and
# separators of lines. The two joiners, which emoji and several scripts need, do no harm.
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"


class GanzooError(Exception):
    """Anything a user can mend; the message is shown as it is. Exit status 1."""

    exit_status = 1


class OptionError(GanzooError):
    """A wrong option, preset or name on the command line. Exit status 2, as for every usage error."""

    exit_status = 2


class UnsuitableError(OptionError):
    """The model of a run can't do what is asked for; that of another run may."""


class BackendError(GanzooError):
    """Jittor can't be used on this machine as it stands."""


class PluginError(GanzooError):
    """A plugin could not be loaded, clashes with another, or is asked for and broken."""


class DataError(GanzooError):
    """A data set is missing, empty or damaged."""


class CheckpointError(GanzooError):
    """A checkpoint can't be read or written, or belongs to something else."""


class DamagedError(CheckpointError):
    """A checkpoint is not as it was written."""


class RunError(GanzooError):
    """A run folder is missing, damaged or in use, or training can't go on."""


class DivergedError(RunError):
    """Too many updates in a row had a loss or a gradient that is not finite."""


class ShapeError(RunError):
    """An operation of a network was given an array that does not fit its weights, or an empty one."""


NO_MEMORY = "ganzoo: no memory for"  # what ganzoo.backend makes Jittor say


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, Python's or Jittor's."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_MEMORY in str(error))


def near_match(name: str, names: Iterable[str]) -> str:
    """' Did you mean X?' for the closest of `names`, or nothing; to be appended to a message. Case and leading dashes
    don't count."""
    known = {each.lower().lstrip("-"): each for each in names}
    close = difflib.get_close_matches(name.lower().lstrip("-"), known, n=1, cutoff=0.6)
    return f" Did you mean {known[close[0]]!r}?" if close else ""


def printable(text: Union[str, Path]) -> str:
    """A name from outside (of a file, in an archive, of a domain) as it may go to a terminal or a log: one line.

    What would steer the terminal, begin a line or not be encoded becomes an escape such as \\x1b. Applied twice, it
    changes nothing more.
    """
    text = str(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    unsafe = unicodedata.category(letter) in UNSAFE and letter not in JOINERS
    return letter.encode("unicode_escape").decode() if unsafe else letter


def reason(error: BaseException) -> str:
    """What an error says, in one line: of the system's, without its number and path."""
    said = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    return printable(said) or type(error).__name__


def counted(count: int, noun: str) -> str:
    """'1 image', '2 images', '1,000 images'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
