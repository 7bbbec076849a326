"""Where images lie: a folder, a zip archive or an LMDB, each a list of keys with bytes behind them.

Everything here can be pickled, so that other processes can read the same images.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from weakref import WeakValueDictionary

import lmdb

from ganzoo.data import DataInfo, Dataset
from ganzoo.data.images import channels_of, decode, is_hidden, is_image, peek, to_array
from ganzoo.data.pyramid import SIZES, below_wrapper, levels, nearest
from ganzoo.errors import DataError

LMDB_METADATA = b"ganzoo"  # our own key beside those of the reference layout
SAMPLE = 32  # images whose headers tell whether a data set is grey


class Storage(ABC):
    """Keys in a fixed order, the bytes behind each, and the domain of each (None: the set has no domains).

    Where every image is stored at several `sizes`, the keys are those of one `size`.
    """

    keys: list[str]
    domains: list[str] | None = None
    metadata: dict[str, Any] = {}
    sizes: Sequence[int] = ()
    size: int | None = None

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of one image file. Called from several threads at once; may raise anything."""

    def at_size(self, size: int) -> Storage:
        """The same images at the nearest of several sizes, or this storage itself."""
        if not self.sizes or nearest(size, self.sizes) == self.size:
            return self
        other: Storage = object.__new__(type(self))  # not copied, which would open the files anew
        other.__dict__.update(self.__dict__)
        other._use(size)
        return other

    @abstractmethod
    def _use(self, size: int | None) -> None:
        """Set `size` and `keys` to the nearest of several sizes, or to the largest."""


class FileStorage(Storage):
    """Image files under paths. The sub-folders that part them are domains, unless images lie beside these; folders
    that wrap everything are no domains, nor are folders that hold each image at a size (see `pyramid.levels`)."""

    def _arrange(self, keys: list[str], size: int | None) -> None:
        self.keys = keys
        self._levels = levels(keys, self.read)
        self.sizes = tuple(self._levels)
        if self.sizes:
            self._use(size)
        self.domains = _domains(self.keys)

    def _use(self, size: int | None) -> None:
        self.size = nearest(size, self.sizes)
        self.keys = self._levels[self.size]


class FolderStorage(FileStorage):
    """Images anywhere below a folder, links followed."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._arrange(sorted(key for key in _files_below(path) if is_image(key)), size)

    def read(self, key: str) -> bytes:
        path = self.path / key
        if path.exists() and not path.is_file():  # a pipe, say, which would never end
            raise OSError("not a regular file")
        return path.read_bytes()


class ZipStorage(FileStorage):
    """The same, inside a zip archive."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._open()
        self._arrange(sorted({name for name in self.archive.namelist() if is_image(name)}), size)

    def _open(self) -> None:
        try:
            self.archive = zipfile.ZipFile(self.path)
        except Exception as error:  # among others BadZipFile, OSError, NotImplementedError, UnicodeDecodeError
            raise DataError(f"{self.path}: not a whole zip archive ({error}). Copy or download it again.") from error
        self._lock = threading.Lock()  # ZipFile counts its readers, but not in a thread-safe way

    def read(self, key: str) -> bytes:
        with self._lock:
            return self.archive.read(key)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("archive", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class LmdbStorage(Storage):
    """An LMDB of the reference StyleGAN layout: keys '{size}-{index:05d}' holding image files, and 'length'.

    One LMDB can hold several sizes; `size` chooses one (the smallest that is large enough, else the largest).
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self.env = _environment(path)
        try:
            self.count = int(self._get(b"length") or b"0")
            stored = self._get(LMDB_METADATA)
            self.metadata = json.loads(stored) if stored else {}
            entries = self.env.stat()["entries"]
        except (lmdb.Error, ValueError) as error:
            raise DataError(f"{path}: an LMDB whose description is damaged ({error}).") from error
        self.sizes = [side for side in SIZES if self._get(b"%d-00000" % side) is not None]
        if not self.sizes or self.count < 1:
            raise DataError(f"{path}: an LMDB without images in the layout of StyleGAN ('128-00000', ..., 'length').")
        if self.count > entries:
            raise DataError(
                f"{path}: a damaged LMDB; it says that it holds {self.count} images, but has {entries} entries."
            )
        self._use(size)
        try:
            self.domains = _domains_of_metadata(self.metadata, self.count)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise DataError(f"{path}: an LMDB whose description is damaged ({error}).") from error

    def _get(self, key: bytes) -> bytes | None:
        with self.env.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def _use(self, size: int | None) -> None:
        self.size = nearest(size, self.sizes)
        self.keys = [f"{self.size}-{index:05d}" for index in range(self.count)]

    def read(self, key: str) -> bytes:
        value = self._get(key.encode())
        if value is None:
            raise LookupError("the LMDB has no such key")
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "env"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.env = _environment(self.path)


def _files_below(root: Path) -> Iterator[str]:
    """Paths relative to `root`, with '/'. A folder that is reached by two links, or holds itself, is taken once."""
    seen = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if not is_hidden(name))
        below = Path(folder).relative_to(root)
        yield from ((below / name).as_posix() for name in files)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{_printable(str(error.filename))}: this folder can't be listed ({error.strerror}).") from error


def _domains(keys: list[str]) -> list[str] | None:
    if not keys:
        return None
    paths = below_wrapper(keys)
    if any("/" not in path for path in paths):
        return None
    return [path.split("/", 1)[0] for path in paths]


def _domains_of_metadata(metadata: Any, count: int) -> list[str] | None:
    """The domain of each image by an LMDB's own description. Raises nearly anything if that is damaged."""
    names = metadata.get("domains") or []
    if not names:
        return None
    labels = metadata["labels"]
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} images")
    wrong = [label for label in labels if label not in range(len(names))]
    if wrong:
        raise ValueError(f"a label {wrong[0]!r} where there are {len(names)} domains")
    return [str(names[label]) for label in labels]


_environments: WeakValueDictionary[Path, Any] = WeakValueDictionary()
_environments_lock = threading.Lock()


def _environment(path: Path) -> Any:
    """The LMDB at `path`, opened once per process: LMDB refuses to open one that is open already."""
    key = path.resolve()
    with _environments_lock:
        opened = _environments.get(key)
        if opened is None:
            try:
                opened = lmdb.open(
                    str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_readers=256
                )
                whole = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
            except lmdb.Error as error:
                raise DataError(f"{path}: not an LMDB ({error}).") from error
            present = (path / "data.mdb" if path.is_dir() else path).stat().st_size
            if present < whole and not _ends_in_free_pages(path):
                raise DataError(f"{path}: an LMDB cut short, {present:,} bytes of {whole:,}. Copy it again.")
            _environments[key] = opened
        return opened


_TOUCH_ALL = """
import sys, lmdb
env = lmdb.open(sys.argv[1], subdir=sys.argv[2] == "True", readonly=True, lock=False)
with env.begin(buffers=True) as transaction:
    for key, value in transaction.cursor():
        value[len(value) - 1:].tobytes()
"""


def _ends_in_free_pages(path: Path) -> bool:
    """Whether an LMDB shorter than it says is whole: pages that were freed again are never written at its end.

    Another process looks, as reading beyond the end kills it with SIGBUS.
    """
    command = [sys.executable, "-c", _TOUCH_ALL, str(path), str(path.is_dir())]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _printable(text: str) -> str:
    """The same, but for bytes of a file name that are no UTF-8, which no terminal would take."""
    return text.encode("utf-8", "backslashreplace").decode()


class StoredImages(Dataset):
    """The one data set over any storage."""

    def __init__(self, name: str, path: Path, storage: Storage, flip: bool | None = None) -> None:
        """`flip` None: as the storage's description says, if it has one."""
        self.path, self.storage = path, storage
        names = sorted(set(storage.domains or ()))
        self._label = {domain: label for label, domain in enumerate(names)}
        first = self._first_readable()
        self.info = DataInfo(
            name=name,
            count=len(storage.keys),
            size=min(first.size),
            channels=max(channels_of(first), self._channels_of_sample()),
            domains=tuple(names),
            flip=storage.metadata.get("flip") is True if flip is None else flip,
        )

    def _first_readable(self) -> Any:
        if not self.storage.keys:
            raise DataError(f"{self.path}: no image in it (looked for PNG, JPEG, WebP, BMP, GIF and TIFF files).")
        failure: DataError | None = None
        for index in range(min(100, len(self.storage.keys))):
            try:
                return self._decode(index)
            except DataError as error:
                failure = failure or error
        raise DataError(f"{self.path}: none of the first images can be read. {failure}")

    def _channels_of_sample(self) -> int:
        """1 if all of a sample are grey: photos often have a grey one among them, and it may be the first."""
        found = 1
        for index in range(0, len(self.storage.keys), max(1, len(self.storage.keys) // SAMPLE)):
            try:
                found = max(found, channels_of(peek(self._read(index), self.describe(index))))
            except DataError:
                continue  # the loader reports it
        return found

    def _read(self, index: int) -> bytes:
        try:
            return self.storage.read(self.storage.keys[index])
        except Exception as error:  # OSError, BadZipFile, zlib.error, lmdb.Error, ... have nothing in common
            reason = _printable(str(error)) or type(error).__name__
            raise DataError(f"{self.describe(index)}: can't be read ({reason}).") from error

    def _decode(self, index: int) -> Any:
        return decode(self._read(index), self.describe(index))

    def load(self, index: int) -> tuple[Any, int]:
        image = self._decode(index)
        try:
            pixels = to_array(image, self.info.channels)
        except Exception as error:
            raise DataError(f"{self.describe(index)}: its colours can't be read ({error}).") from error
        return pixels, self._label[self.storage.domains[index]] if self.storage.domains else 0

    def at_size(self, size: int) -> Dataset:
        storage = self.storage.at_size(size)
        if storage is self.storage:
            return self
        other = copy.copy(self)
        other.storage, other.info = storage, replace(self.info, size=storage.size or self.info.size)
        return other

    def describe(self, index: int) -> str:
        return _printable(f"{self.path}/{self.storage.keys[index]}")


def open_path(
    path: Path, name: str | None = None, size: int | None = None, *, flip: bool | None = None, domains: bool = True
) -> StoredImages:
    """A data set from a folder, a zip archive or an LMDB. DataError says what is wrong with it.

    `size` chooses among several that are stored. `flip` says whether images may be mirrored (None: as an LMDB says,
    else no); `domains` False means that folders are no labels.
    """
    try:
        storage = _storage(path, size)
        if not domains:
            storage.domains = None
        return StoredImages(name or _printable(path.resolve().stem), path, storage, flip)
    except (OSError, ValueError) as error:  # a name that is too long or holds a zero byte, no permission
        raise DataError(f"{_printable(str(path))!r}: can't be opened ({error}).") from error


def _storage(path: Path, size: int | None) -> Storage:
    if not path.exists():
        raise DataError(f"{_printable(str(path))}: there is no such file or folder.")
    if path.is_dir():
        return LmdbStorage(path, size) if (path / "data.mdb").exists() else FolderStorage(path, size)
    if path.suffix.lower() == ".zip":
        return ZipStorage(path, size)
    if path.suffix.lower() in (".lmdb", ".mdb"):
        return LmdbStorage(path, size)
    raise DataError(f"{_printable(str(path))}: not a folder, a .zip archive or an .lmdb.")
