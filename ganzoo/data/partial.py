"""Unfinished downloads: locked while in use, and stored with their URL and the version of the file.

The unfinished download of NAME is NAME.part; NAME.part.json records its URL and version.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ganzoo.errors import DataError, reason
from ganzoo.files import format_bytes

FREE_SPACE = "Free some space, or set GANZOO_DATA to a folder on another disk."


@dataclass(frozen=True)
class Version:
    """A server's description of a file: its length in bytes (None: unknown), and validators that change when the file
    does."""

    url: str
    length: int | None
    etag: str = ""  # strong ETags only: weak ones don't guarantee identical bytes
    modified: str = ""

    @property
    def validator(self) -> str:
        return self.etag or self.modified

    def matches(self, other: Version) -> bool:
        """Return whether both describe the same bytes; False if the server says too little to be certain."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        equal = [ours == theirs for ours, theirs in pairs if ours and theirs]
        return self.url == other.url and self.length == other.length and bool(equal) and all(equal)


class PartialFile:
    """The unfinished download of `target`, open and locked. It has the first `size` bytes of the file that `version`
    describes; `version` is None if nothing can be resumed."""

    def __init__(self, target: Path, file: IO[bytes]) -> None:
        self.target, self.path = target, Path(file.name)
        self.metadata_path = target.with_name(f"{target.name}.part.json")
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self.version = self._read_version()

    def _read_version(self) -> Version | None:
        try:
            version = Version(**json.loads(self.metadata_path.read_text()))
            return version if version.validator and 0 < self.size <= (version.length or 0) else None
        except (OSError, ValueError, TypeError):  # missing, or not written by ganzoo
            return None

    def resume_hint(self, url: str) -> str:
        """Return a sentence, with a trailing space, saying how much of the file at `url` is kept; '' if nothing is."""
        if self.version is None or self.version.url != url:
            return ""
        done, total = format_bytes(self.size), format_bytes(self.version.length or 0)
        return f"{done} of {total} are kept: run the same command to resume. "

    def restart(self, version: Version, head: bytes) -> None:
        """Start over with `head`, the first bytes of `version`."""
        with self._write_errors():
            self._file.truncate(0)  # before the metadata, which must never describe the old bytes
            self.size, self.version = 0, None
            self.metadata_path.write_text(json.dumps(asdict(version)))
        self.append(head)
        self.version = self._read_version()

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._write_errors():
            while rest:
                written = self._file.write(rest)
                self.size += written
                rest = rest[written:]

    def finish(self) -> None:
        """Rename the file to `target`."""
        with self._write_errors():
            os.fsync(self._file.fileno())
            self.path.replace(self.target)
            self.delete()

    def set_aside(self, path: Path) -> None:
        """Rename the file to `path`, for the user to look at."""
        self.path.replace(path)
        self.delete()

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self.metadata_path.unlink(missing_ok=True)

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Convert OSError to DataError."""
        try:
            yield
        except OSError as error:
            hint = self.resume_hint(self.version.url) if self.version else ""
            raise DataError(f"{self.path}: can't be written ({reason(error)}). {hint}{FREE_SPACE}") from error


@contextmanager
def open_partial(target: Path) -> Iterator[PartialFile]:
    """Lock the unfinished download of `target` for this process; delete it afterwards if it is empty. DataError if
    another process has the lock."""
    path = target.with_name(f"{target.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as file:  # unbuffered: a failed write raises at once, and once only
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # False if another process has finished the download in the meantime.
            locked = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            locked = False
        if not locked:
            raise DataError(f"{target}: another process is downloading it. Wait until it finishes.")
        partial = PartialFile(target, file)
        try:
            yield partial
        finally:
            if not partial.size:
                partial.delete()
