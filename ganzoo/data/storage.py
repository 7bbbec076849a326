"""Where images lie: a folder, a zip archive or an LMDB, each a list of keys with bytes behind them."""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lmdb

from ganzoo.data import DataInfo, Dataset
from ganzoo.data.images import channels_of, decode, is_image, to_array
from ganzoo.errors import DataError

LMDB_METADATA = b"ganzoo"  # our own key beside those of the reference layout


class Storage(ABC):
    """Keys in a fixed order, the bytes behind each, and the domain of each (None: the set has no domains)."""

    keys: list[str]
    domains: list[str] | None = None
    metadata: dict[str, Any] = {}

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of one image file."""


class FolderStorage(Storage):
    """Images anywhere below a folder. Sub-folders of the first level are domains, unless images lie beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = sorted(
            key for file in path.rglob("*") if is_image(key := file.relative_to(path).as_posix()) and not file.is_dir()
        )
        self.domains = _domains(self.keys)

    def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()


class ZipStorage(Storage):
    """The same, inside a zip archive."""

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{path}: not a whole zip archive ({error}). Copy or download it again.") from error
        self.keys = sorted(name for name in self.archive.namelist() if is_image(name))
        self.domains = _domains(self.keys)

    def read(self, key: str) -> bytes:
        return self.archive.read(key)


class LmdbStorage(Storage):
    """An LMDB of the reference StyleGAN layout: keys '{size}-{index:05d}' holding image files, and 'length'.

    One LMDB can hold several sizes; `size` chooses one (the smallest that is large enough, else the largest).
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        try:
            self.env = lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_readers=256
            )
            length = self._get(b"length")
        except lmdb.Error as error:
            raise DataError(f"{path}: not an LMDB ({error}).") from error
        stored = self._get(LMDB_METADATA)
        try:
            self.metadata = json.loads(stored) if stored else {}
            count = int(length or b"0")
        except ValueError as error:
            raise DataError(f"{path}: an LMDB whose description is damaged ({error}).") from error
        self.sizes = self._sizes()
        if not self.sizes:
            raise DataError(f"{path}: an LMDB without images in the layout of StyleGAN ('128-00000', ..., 'length').")
        wide_enough = [side for side in self.sizes if size is None or side >= size]
        self.size = (max(wide_enough) if size is None else min(wide_enough)) if wide_enough else max(self.sizes)
        self.keys = [f"{self.size}-{index:05d}" for index in range(count)]
        names = self.metadata.get("domains") or []
        self.domains = [names[label] for label in self.metadata["labels"]] if names else None

    def _get(self, key: bytes) -> bytes | None:
        with self.env.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def _sizes(self) -> list[int]:
        return [side for side in (2**power for power in range(2, 11)) if self._get(b"%d-00000" % side) is not None]

    def read(self, key: str) -> bytes:
        value = self._get(key.encode())
        if value is None:
            raise KeyError(key)
        return value


def _domains(keys: list[str]) -> list[str] | None:
    if not keys or any("/" not in key for key in keys):
        return None
    return [key.split("/", 1)[0] for key in keys]


class StoredImages(Dataset):
    """The one data set over any storage."""

    def __init__(self, name: str, path: Path, storage: Storage, flip: bool | None = None) -> None:
        self.path, self.storage = path, storage
        names = sorted(set(storage.domains or ()))
        self._label = {domain: label for label, domain in enumerate(names)}
        first = self._first_readable()
        stored_flip = storage.metadata.get("flip", False)
        self.info = DataInfo(
            name=name,
            count=len(storage.keys),
            size=min(first.size),
            channels=channels_of(first),
            domains=tuple(names),
            flip=stored_flip if flip is None else flip,
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

    def _decode(self, index: int) -> Any:
        key = self.storage.keys[index]
        try:
            data = self.storage.read(key)
        except (OSError, KeyError, zipfile.BadZipFile, lmdb.Error, RuntimeError, EOFError, ValueError) as error:
            raise DataError(f"{self.describe(index)}: can't be read ({error}).") from error
        except Exception as error:  # zlib.error has no common base with the rest
            raise DataError(f"{self.describe(index)}: damaged ({error}).") from error
        return decode(data, self.describe(index))

    def load(self, index: int) -> tuple[Any, int]:
        image = self._decode(index)
        domain = self.storage.domains[index] if self.storage.domains else None
        return to_array(image, self.info.channels), self._label[domain] if domain is not None else 0

    def describe(self, index: int) -> str:
        return f"{self.path}/{self.storage.keys[index]}"


def open_path(path: Path, name: str | None = None, size: int | None = None) -> StoredImages:
    """A data set from a folder, a zip archive or an LMDB. DataError says what is wrong with it."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder.")
    storage: Storage
    if path.is_dir():
        storage = LmdbStorage(path, size) if (path / "data.mdb").exists() else FolderStorage(path)
    elif path.suffix.lower() == ".zip":
        storage = ZipStorage(path)
    elif path.suffix.lower() in (".lmdb", ".mdb"):
        storage = LmdbStorage(path, size)
    else:
        raise DataError(f"{path}: not a folder, a .zip archive or an .lmdb.")
    return StoredImages(name or path.resolve().stem, path, storage)
