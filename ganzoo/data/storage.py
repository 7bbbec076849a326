"""Data sets from a folder, a zip archive, an LMDB or arrays.

They can be pickled, so that other processes can read the same images.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.abstract_storage import Storage
from ganzoo.data.array_images import ArrayImages
from ganzoo.data.colours import is_opaque
from ganzoo.data.folder_storage import FolderStorage, is_archive
from ganzoo.data.headers import list_supported_formats
from ganzoo.data.idx_files import find_idx, is_idx, open_idx
from ganzoo.data.images import channels_of, decode, decode_opened, peek, to_array
from ganzoo.data.labelling import with_labels
from ganzoo.data.lmdb_storage import LmdbStorage
from ganzoo.data.memory import pixel_budget
from ganzoo.data.numpy_files import open_npy, open_npz
from ganzoo.data.parquet_storage import ParquetStorage, find_parquet
from ganzoo.data.tar_storage import TarStorage, find_tars
from ganzoo.data.zip_storage import ZipStorage
from ganzoo.errors import DataError, format_count, printable, reason
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.progress_bars import progress_bar

SPLIT_FOLDERS = ("train", "val")
HEADER_SAMPLE = 32  # images whose headers are read to find the size and the channels of a data set


class StoredImages(Dataset):
    """A data set that reads its images from a storage."""

    def __init__(self, name: str, path: Path, storage: Storage, flip: bool | None = None) -> None:
        """`flip`: whether images may be mirrored (None: as the storage's metadata says, otherwise no)."""
        self.path, self.storage = path, storage
        first = self._first_readable()
        channels, sides, self.has_alpha = self._sample_headers(first)
        self._describe_storage()
        self.info = DataInfo(
            name=name,
            count=len(storage.keys),
            size=sorted(sides)[len(sides) // 2],
            channels=4 if storage.metadata.get("channels") == 4 else channels,
            domains=storage.domains,
            attributes=storage.attribute_names,
            flip=storage.metadata.get("flip") is True if flip is None else flip,
            fit=storage.fit or "crop",
        )

    def _describe_storage(self) -> None:
        self.format, self.labelled_by = self.storage.format, self.storage.labelled_by
        self.notes, self.ignored_files = self.storage.notes, self.storage.ignored_files

    def _first_readable(self) -> Any:
        if not self.storage.keys:
            packed = [f"It contains the archive {printable(path)}: unpack that." for path in self.storage.archives[:1]]
            others = [f"{self.storage.ignored_files}."] if self.storage.ignored_files and not packed else []
            problem = f"{self.path}: contains no images ({list_supported_formats()})."
            raise DataError(" ".join([problem, *packed, *others]))
        failure: DataError | None = None
        count = len(self.storage.keys)
        for index in progress_bar(
            range(count), desc="looking for a readable image", unit="img", leave=False, disable=None, delay=2
        ):
            try:
                return self._decode(index)
            except DataError as error:
                failure = failure or error
        raise DataError(f"{self.path}: none of its {format_count(count, 'image')} can be read. {failure}")

    def _sample_headers(self, first: Any) -> tuple[int, list[int], bool]:
        """Return the channels of the set (1 if `first` and all images of a sample are grey), the sample's shorter
        sides, and whether any of them has transparency. The first image alone is not enough: it may be the only grey or
        the only small one."""
        channels, sides, opaque = channels_of(first), [], is_opaque(first)
        for index in range(0, len(self.storage.keys), max(1, len(self.storage.keys) // HEADER_SAMPLE)):
            try:
                image = peek(self._read(index), self.describe(index))
            except DataError:
                continue  # reported when the image is loaded
            channels = max(channels, channels_of(image))
            opaque = opaque and is_opaque(image)
            sides.append(min(image.size))
        return channels, sides or [min(first.size)], not opaque

    def _read(self, index: int) -> bytes:
        try:
            return self.storage.read(self.storage.keys[index])
        except Exception as error:  # OSError, BadZipFile, zlib.error, lmdb.Error, ... have nothing in common
            raise DataError(f"{self.describe(index)}: can't be read ({reason(error)}).") from error

    def _decode(self, index: int) -> Any:
        return decode(self._read(index), self.describe(index))

    def load(self, index: int, size: int | None = None) -> tuple[Any, int]:
        data, name = self._read(index), self.describe(index)
        image = peek(data, name)
        with pixel_budget.reserve(image.width * image.height):
            image = decode_opened(image, data, name)
            try:
                pixels = to_array(image, self.info.channels, size, self.info.fit)
            except Exception as error:
                raise DataError(f"{name}: its colours can't be read ({error}).") from error
            image.close()  # frees its memory now, since another thread may be waiting for it
        return pixels, 0 if self.storage.labels is None else int(self.storage.labels[index])

    def labels(self) -> np.ndarray:
        labels = self.storage.labels
        return np.zeros(len(self), np.int64) if labels is None else labels.copy()

    def attributes(self) -> np.ndarray:
        values = self.storage.attributes
        return super().attributes() if values is None else values.copy()

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        return self.storage.annotations()

    def names(self) -> list[str]:
        names = self.storage.names()
        if names is None:
            raise DataError(
                f"{self.path}: its images have no names by which they could be paired. Use a folder or a zip archive "
                "with a folder for each domain, or an LMDB that `ganzoo data prepare` made from one."
            )
        return names

    def with_alpha(self) -> Dataset:
        if not self.has_alpha:
            return super().with_alpha()
        other = copy.copy(self)
        other.info = replace(self.info, channels=4)
        return other

    def unlabelled(self) -> StoredImages:
        """Return the same images without domains and attributes."""
        other = copy.copy(self)
        other.storage, other.info = self.storage.unlabelled(), replace(self.info, domains=(), attributes=())
        other._describe_storage()
        return other

    def validation(self) -> Dataset | None:
        storage = self.storage.validation()
        if storage is None:
            return None
        other = copy.copy(self)
        other.storage, other.path = storage, storage.path
        other._describe_storage()
        other.notes, other.ignored_files = (), None
        info = replace(self.info, name=f"{self.info.name}-val", count=len(storage.keys))
        other.info = replace(info, size=storage.size or info.size)
        return other

    def at_size(self, size: int) -> Dataset:
        storage = self.storage.at_size(size)
        if storage is self.storage:
            return self
        other = copy.copy(self)
        other.storage, other.info = storage, replace(self.info, size=storage.size or self.info.size)
        return other

    def shorter_sides(self, max_count: int) -> list[int]:
        found = []
        for index in range(0, len(self), -(-len(self) // max_count)):
            try:
                found.append(min(peek(self._read(index), self.describe(index)).size))
            except DataError:
                continue  # reported when the image is loaded
        return found or [self.info.size]

    def fingerprint(self) -> str:
        """Hash the names, sizes and modification times of the files: hashing every image could take minutes."""
        found = hashlib.sha256(repr((self.info, self.storage.keys)).encode())
        for path in self.storage.files():
            try:
                status = path.stat()
                found.update(repr((str(path.resolve()), status.st_size, status.st_mtime_ns)).encode())
            except OSError as error:
                found.update(repr((str(path), error.errno)).encode())
        return found.hexdigest()

    def describe(self, index: int) -> str:
        return printable(f"{self.path}/{self.storage.keys[index]}")


def open_path(
    path: Path, name: str | None = None, size: int | None = None, *, flip: bool | None = None, labels: str | None = None
) -> Dataset:
    """Open a folder, a zip or tar archive, an LMDB, Parquet or IDX files or arrays of NumPy as a data set. DataError,
    with the reason, if that fails.

    `size` selects one of several stored sizes. `flip` says whether images may be mirrored (None: as an LMDB's metadata
    says, otherwise no). `labels` chooses labels as `ganzoo.with_labels` does.
    """
    try:
        if not path.exists():
            raise DataError(f"{printable(str(path))}: no such file or folder.")
        labels = None if labels is None else labels.strip()
        data: StoredImages | ArrayImages | None = _open_arrays(path, name or _name(path), labels)
        if data is None:
            data = StoredImages(name or _name(path), path, _open_storage(path, size, labels), flip)
        elif flip is not None:
            data.info = replace(data.info, flip=flip)
        return data if labels is None else with_labels(data, labels)
    except (OSError, ValueError) as error:  # name too long or with a null byte, or no permission
        raise DataError(f"{printable(str(path))!r}: can't be opened ({reason(error)}).") from error


def _name(path: Path) -> str:
    """Return the name of the data set at `path`. A folder `train` or `val` gets the name of its parent folder."""
    path = path.resolve()
    return printable((path.parent if path.name.lower() in SPLIT_FOLDERS else path).stem)


def _open_arrays(path: Path, name: str, labels: str | None) -> ArrayImages | None:
    """Open arrays of images; None if there are none at `path`."""
    if path.is_dir():
        return open_idx(path, name) if find_idx(path) else None
    if is_idx(path):
        return open_idx(path, name)
    if path.suffix.lower() == ".npz":
        return open_npz(path, name, labels)
    return open_npy(path, name) if path.suffix.lower() == ".npy" else None


def _open_storage(path: Path, size: int | None, labels: str | None) -> Storage:
    """Open a storage with its default labels; if `labels` are others, possibly without labels."""
    if path.is_dir():
        if (path / "data.mdb").exists():
            return LmdbStorage(path, size)
        folder = FolderStorage(path, size, labels)
        if not folder.keys and find_tars(path):
            return TarStorage(path, labels)
        return folder if folder.keys or not find_parquet(path) else ParquetStorage(path, labels)
    if path.suffix.lower() == ".zip":
        return ZipStorage(path, size, labels)
    if path.suffix.lower() in (".lmdb", ".mdb"):
        return LmdbStorage(path, size)
    if path.suffix.lower() == ".tar":
        return TarStorage(path, labels)
    if path.suffix.lower() == ".parquet":
        return ParquetStorage(path, labels)
    remedy = " Unpack it and give the folder." if is_archive(path.name) else ""
    raise DataError(
        f"{printable(str(path))}: not a folder, a .zip, .tar, .parquet, .lmdb, .npy, .npz or IDX file.{remedy}"
    )
