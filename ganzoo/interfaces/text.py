"""Words for people: names from outside as they may be printed, and counts."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Union

# Control characters, invisible ones such as those that turn the direction of writing, bytes that are no UTF-8, and
# separators of lines. The two joiners, which emoji and several scripts need, do no harm.
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"


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
