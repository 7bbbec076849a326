"""Fetches the zip of a data set: continued after an interruption, checked, in its place only when it is whole.

While it grows it is NAME.zip.part; NAME.zip.part.json tells which version of which file that is a part of.
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

from ganzoo.data.files import open_archive, open_member
from ganzoo.data.images import is_image
from ganzoo.data.preparing import amount
from ganzoo.data.transfer import CHUNK, MAKE_ROOM, Failure, Patience, Say, Version, checked, transfer
from ganzoo.errors import DataError, OptionError, reason
from ganzoo.files import data_dir

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry

PATIENCE = Patience()


def fetch(name: str, registry: Registry, url: str | None = None, say: Say = lambda line: None) -> None:
    """Download the data set `name` into the data directory, from `url` (None: from its official address).

    If it is there already, nothing happens but that `say` tells so. OptionError for a name or an address that can't
    be; DataError as for `download`.
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
    """Fetch the zip archive at `url` to `path`; it must have images in each of `folders` ('train/cat').

    What has come stays as a part beside `path`, whatever happens, and an equal call continues it. DataError, with the
    reason and what to do, if the server doesn't answer or has no such file, if what comes is no whole archive or has
    another layout, if the disk is full, or another process is at it. OptionError if `url` is none of http or https.
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
    """A file that grows to become `target`: `size` bytes, held open and locked, of the file `version` (None: nothing is
    here that could be continued)."""

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
        except (OSError, ValueError, TypeError):  # not there, or not written by us
            return None

    def kept(self, url: str) -> str:
        """A sentence and a blank about what is kept of the file at `url`, or nothing."""
        if self.version is None or self.version.url != url:
            return ""
        return f"{amount(self.size)} of {amount(self.version.length or 0)} are kept: the same command continues it. "

    def restart(self, version: Version, head: bytes) -> None:
        """Begin anew, with the first bytes of `version`."""
        with self._writing():
            self._file.truncate(0)  # before the note, which must never speak of other bytes than those here
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
        """Give the file its name."""
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
    """The part of the file `target`, for this process alone; gone afterwards if it is empty."""
    path = target.with_name(f"{target.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as file:  # unbuffered: a write that fails is told at once, and only once
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())  # not finished meanwhile
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
    """DataError, and the file out of the way, unless it is a whole zip archive with images in each of `folders`."""
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
    """The names in a zip archive whose every file agrees with its checksum. Raises nearly anything if one doesn't."""
    with open_archive(path) as archive:
        members = archive.infolist()
        total = sum(member.compress_size for member in members)
        with tqdm(total=total, unit="B", unit_scale=True, desc="checking", leave=False, disable=None, delay=1) as bar:
            for member in members:
                with open_member(archive, member) as file:
                    while file.read(CHUNK):
                        pass  # the checksum is compared at the end
                bar.update(member.compress_size)
    return [member.filename for member in members]
