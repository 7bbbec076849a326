"""The data directory, safe opening of files that users name, and atomic writes: a file is complete or absent, even if
the process or the machine fails while it is written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from ganzoo.errors import OptionError, printable, reason

_UNFINISHED = ".unfinished-"
_TEMPORARY_NAME = re.compile(rf"{re.escape(_UNFINISHED)}[0-9]+-")
Bytes = bytes | bytearray


def data_dir() -> Path:
    """Return the user's data directory: $GANZOO_DATA, else ganzoo under $XDG_DATA_HOME, else ~/.local/share/ganzoo."""
    chosen = os.environ.get("GANZOO_DATA")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "ganzoo"


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading. OSError if it is not a regular file: reading a pipe may block forever, and /dev/zero has
    no end."""
    file = open(path, "rb", opener=_nonblocking)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without O_NONBLOCK, opening a pipe would wait for a writer


def atomic_write(path: Path, *parts: Bytes) -> None:
    """Replace the file at `path` with the concatenated `parts`, which are on the disk when this returns.

    Writes a temporary file in the same folder, flushes it to the disk and renames it. If writing fails with OSError,
    whatever was at `path` is unchanged.
    """
    with atomic_path(path) as temporary:
        _write(temporary, parts)
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder. The file written there replaces `path` if the block succeeds, and is
    deleted if it fails."""
    temporary = path.with_name(f"{_UNFINISHED}{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None  # the temporary name would mean nothing to users
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder. If the block succeeds and no other process has made `path` in the meantime, the
    folder is renamed to `path`; otherwise it is deleted."""
    import tempfile  # takes 10 ms, and most commands don't need it

    with tempfile.TemporaryDirectory(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=path.parent) as parent:
        temporary = Path(parent) / path.name
        temporary.mkdir()
        yield temporary
        try:
            if not path.exists():
                temporary.rename(path)
        except OSError:
            if not path.exists():
                raise


def _write(path: Path, parts: tuple[Bytes, ...]) -> None:
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def output_folder(path: Path, option: str) -> Iterator[Path]:
    """Yield a folder to write into, creating it if necessary. If the body fails, created folders that are empty are
    removed again. OptionError, naming the `option`, if the folder can't be created."""
    created = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OptionError(f"{option} {printable(path)}: can't be created ({reason(error)}).") from error
    try:
        yield path
    except BaseException:
        below = [Path(root) for root, _, _ in os.walk(path, topdown=False)][:-1] if path in created else []
        for each in (*below, *created):
            with contextlib.suppress(OSError):  # not empty
                each.rmdir()
        raise


def leftovers(folder: Path) -> Iterator[Path]:
    """Yield the temporary files that killed processes left in a folder."""
    yield from (path for path in folder.glob(f"{_UNFINISHED}*") if _TEMPORARY_NAME.match(path.name))


def append_lines(path: Path, lines: str) -> None:
    """Append lines to a text file, beginning a new line even if a full disk or a kill cut off the previous one."""
    with open(path, "ab+") as file:
        file.write((b"" if _at_line_start(file) else b"\n") + lines.encode("utf-8", "backslashreplace"))


def _at_line_start(file: IO[bytes]) -> bool:
    size = file.seek(0, os.SEEK_END)
    if not size:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"


def format_bytes(count: float) -> str:
    """Format a number of bytes with a decimal unit: '12.3 MB'."""
    power = min(3, (len(str(int(count))) - 1) // 3)
    return f"{count / 1000**power:.{0 if power < 2 else 1}f} {('bytes', 'kB', 'MB', 'GB')[power]}"


def write_error(error: OSError) -> str:
    """Return why a file can't be written, in the system's words, with advice if the disk is full."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return f"{reason(error)}: free some space" if full else reason(error)
