"""Resumable download of a data set's zip archive: verified, and moved into place only when complete.

The unfinished archive is NAME.zip.part; NAME.zip.part.json records the URL and version that it is a part of.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tqdm import tqdm

from ganzoo.data.images import is_image
from ganzoo.data.preparing import amount
from ganzoo.data.transfer import CHUNK, MAKE_ROOM, Failure, Patience, Say, Version, checked, transfer
from ganzoo.data.zip_storage import open_archive, open_member
from ganzoo.errors import DataError, OptionError, reason
from ganzoo.files import data_dir

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry

PATIENCE = Patience()


def fetch(name: str, registry: Registry, url: str | None = None, say: Say = lambda line: None) -> None:
    """Download the data set `name` to the data directory, from `url` (None: its official address).

    If the data set is already there, only reports that through `say`. OptionError for an unknown name, a data set
    without an archive or an invalid URL; DataError as for `download`.
    """
    source = registry.dataset(name)
    if not source.archive:
        able = sorted(each.name for each in registry.datasets.values() if each.archive)
        raise OptionError(f"{name}: can't be downloaded. Sets that can: {', '.join(able) or 'none'}.")
    for place in (data_dir() / f"{name}{ending}" for ending in (".lmdb", "", ".zip")):
        if place.exists():
            say(f"{name}: is there already, at {place}. To replace it, delete that and give this command again.")
            return
    path = data_dir() / f"{name}.zip"
    download(source.archive if url is None else url, path, source.archive_folders, say=say)
    say(f"{path}: {amount(path.stat().st_size)}, whole")
    say(f"Train with: ganzoo train MODEL --data {name}")


def download(
    url: str, path: Path, folders: Sequence[str] = (), *, patience: Patience | None = None, say: Say = lambda line: None
) -> None:
    """Download the zip archive at `url` to `path`. It must have images in each of `folders` ('train/cat').

    After an interruption the downloaded part stays beside `path`, and the same call resumes it. DataError, with the
    reason and a remedy, if the server doesn't respond or doesn't have the file, if the file is not an intact archive or
    has another layout, if the disk is full, or if another process downloads it. OptionError unless `url` is HTTP(S).
    """
    url = checked(url)
    advice = f"Give another address with --url, or fetch the file by hand and put it at {path}."
    with _held(path) as part:
        try:
            transfer(url, part, patience or PATIENCE, say)
            _check(part, url, folders, advice)
        except Failure as failure:
            raise DataError(f"{url}: {failure}. {part.kept(url)}{advice}") from failure
        except KeyboardInterrupt:
            say(part.kept(url).strip() or "nothing was kept")
            raise
        part.finish()


class Part:
    """The unfinished download of `target`, open and locked: the first `size` bytes of the file `version` (None: there
    is nothing to resume)."""

    def __init__(self, target: Path, file: IO[bytes]) -> None:
        self.target, self.path = target, Path(file.name)
        self.note = target.with_name(f"{target.name}.part.json")
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self.version = self._noted()

    def _noted(self) -> Version | None:
        try:
            version = Version(**json.loads(self.note.read_text()))
            return version if version.mark and 0 < self.size <= (version.length or 0) else None
        except (OSError, ValueError, TypeError):  # missing, or not written by ganzoo
            return None

    def kept(self, url: str) -> str:
        """Return a sentence, with a trailing space, saying how much of the file at `url` is kept; '' if nothing is."""
        if self.version is None or self.version.url != url:
            return ""
        return f"{amount(self.size)} of {amount(self.version.length or 0)} are kept: the same command continues it. "

    def restart(self, version: Version, head: bytes) -> None:
        """Start over with `head`, the first bytes of `version`."""
        with self._writing():
            self._file.truncate(0)  # before the note, which must never describe the old bytes
            self.size, self.version = 0, None
            self.note.write_text(json.dumps(asdict(version)))
        self.append(head)
        self.version = self._noted()

    def append(self, data: bytes) -> None:
        left = memoryview(data)
        with self._writing():
            while left:
                written = self._file.write(left)
                self.size += written
                left = left[written:]

    def finish(self) -> None:
        """Rename the file to `target`."""
        with self._writing():
            os.fsync(self._file.fileno())
            self.path.replace(self.target)
            self.discard()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = self.kept(self.version.url) if self.version else ""
            raise DataError(f"{self.path}: can't be written ({reason(error)}). {kept}{MAKE_ROOM}") from error


@contextmanager
def _held(target: Path) -> Iterator[Part]:
    """Lock the part of `target` for this process; delete it afterwards if it is empty."""
    path = target.with_name(f"{target.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as file:  # unbuffered: a failed write raises at once, and once only
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # False if another process has finished it in the meantime.
            mine = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            mine = False
        if not mine:
            raise DataError(f"{target}: another process downloads it at this moment. Wait for that one.")
        part = Part(target, file)
        try:
            yield part
        finally:
            if not part.size:
                part.discard()


def _check(part: Part, url: str, folders: Sequence[str], advice: str) -> None:
    """Check that the part is an intact zip archive with images in each of `folders`. If it isn't, delete it or move it
    aside, and raise DataError."""
    try:
        names = _names_of_whole(part.path)
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, EOFError and more
        part.discard()
        raise DataError(
            f"{url}: what came from there, {amount(part.size)}, is no whole zip archive ({error}), and was deleted. "
            f"{advice}"
        ) from error
    images = [f"/{name}" for name in names if is_image(name)]
    missing = [folder for folder in folders if not any(f"/{folder}/" in image for image in images)]
    if missing:
        aside = part.target.with_name(f"{part.target.stem}.refused.zip")
        part.path.replace(aside)
        part.discard()
        raise DataError(
            f"{url}: a zip archive of something else, without an image in a folder {missing[0]}/. It is kept as "
            f"{aside}; delete it when you have looked. {advice}"
        )


def _names_of_whole(path: Path) -> list[str]:
    """Return the names in a zip archive, after verifying the checksum of every file. A damaged archive may raise almost
    any exception."""
    with open_archive(path) as archive:
        members = archive.infolist()
        total = sum(member.compress_size for member in members)
        with tqdm(total=total, unit="B", unit_scale=True, desc="checking", leave=False, disable=None, delay=1) as bar:
            for member in members:
                with open_member(archive, member) as file:
                    while file.read(CHUNK):
                        pass  # zipfile compares the checksum at the end of the file
                bar.update(member.compress_size)
    return [member.filename for member in members]
