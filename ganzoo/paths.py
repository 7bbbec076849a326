"""Where ganzoo keeps what it prepares once (data sets, fonts' glyphs, weights), and how files that users name are
opened."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Union


def data_dir() -> Path:
    """The user's data directory: $GANZOO_DATA, else ganzoo under $XDG_DATA_HOME, else ~/.local/share/ganzoo."""
    chosen = os.environ.get("GANZOO_DATA")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "ganzoo"


def open_regular(path: Union[str, Path]) -> BinaryIO:
    """Open a file for reading. OSError if it is not a regular file: reading a pipe may wait forever, and /dev/zero has
    no end."""
    file = open(path, "rb", opener=_without_waiting)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # for the other end of a pipe
