"""Images in an LMDB."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from ganzoo.data.abstract_storage import MAX_FILE_BYTES, Storage, check_size, match_validation, stored_fit
from ganzoo.data.annotations import LazyAnnotations
from ganzoo.data.layout import domains_from_metadata, validation_path
from ganzoo.data.lmdb_annotations import read_index, read_stored_attributes, read_values
from ganzoo.data.lmdb_pages import check_pages
from ganzoo.data.pyramid import SIZES, choose_size
from ganzoo.errors import DataError, printable

LMDB_METADATA = b"ganzoo"  # our own key, in addition to those of the reference layout
LMDB_NAMES = b"ganzoo-names"  # likewise: a JSON list of the images' names within their domains
LABELS = "label"  # name of the labels if the LMDB doesn't say what they are
LENGTH_BYTES = 20  # limit: digits of the number of images
METADATA_BYTES, LABEL_BYTES = 1 << 20, 16  # limit on the metadata: a fixed part, plus a part per image


class LmdbStorage(Storage):
    """An LMDB in the layout of the reference StyleGAN: keys '{size}-{index:05d}' with image files, and 'length'.

    An LMDB can contain several sizes; `size` selects one (the smallest that is large enough, otherwise the largest).
    """

    format = "LMDB"

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self.env = _environment(path)
        try:
            self.count = int(self._get(b"length", LENGTH_BYTES) or b"0")
            self.sizes = [side for side in SIZES if self._has(b"%d-00000" % side)]
            entries = self.env.stat()["entries"]
        except (lmdb.Error, ValueError) as error:
            raise DataError(f"{path}: a damaged LMDB: invalid metadata ({error}).") from error
        if not self.sizes or self.count < 1:
            raise DataError(f"{path}: an LMDB without images in the layout of StyleGAN ('128-00000', ..., 'length').")
        if self.count > entries:
            raise DataError(
                f"{path}: a damaged LMDB: it should have {self.count:,} images, but has only {entries:,} entries."
            )
        self._select_size(size)
        try:
            self.metadata = self._read_metadata()
            names, self.labels = domains_from_metadata(self.metadata, self.count)
            self.attribute_names, self.attributes = read_stored_attributes(self._get, self.count)
            self._annotation_names, self.labelled_by = read_index(self._get)
            self.fit = stored_fit(self.metadata, "sizes" in self.metadata)
        except (lmdb.Error, TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            message = printable(str(error))[:200]  # it may quote the damaged metadata
            raise DataError(f"{path}: a damaged LMDB: invalid metadata ({message}).") from error
        self.domains = tuple(map(printable, names))
        if self.domains and not self.labelled_by:
            self.labelled_by = LABELS
        self._domain_annotation = self.labelled_by, self.domains, self.labels

    def _read_metadata(self) -> dict[str, Any]:
        stored = self._get(LMDB_METADATA, METADATA_BYTES + LABEL_BYTES * self.count)
        found = json.loads(stored) if stored else {}
        if type(found) is not dict:
            raise TypeError(f"expected a JSON object, not a {type(found).__name__}")
        return found

    def names(self) -> list[str] | None:
        try:
            stored = self._get(LMDB_NAMES, MAX_FILE_BYTES) if self._domain_annotation[1] else None
            names = json.loads(stored) if stored else None
            if names is not None and (type(names) is not list or {*map(type, names)} != {str}):
                raise TypeError("expected a list of strings")
            if names is not None and len(names) != self.count:
                raise ValueError(f"{len(names)} names for {self.count} images")
        except (lmdb.Error, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: a damaged LMDB: invalid names ({printable(str(error))[:200]}).") from error
        return names

    def annotations(self) -> LazyAnnotations:
        readers = {name: partial(self._read_annotation, index) for index, name in enumerate(self._annotation_names)}
        name, domains, labels = self._domain_annotation
        if labels is not None and name not in readers and "," not in name:
            return LazyAnnotations({name: lambda: [domains[label] for label in labels], **readers})
        return LazyAnnotations(readers)

    def _read_annotation(self, index: int) -> list[Any]:
        try:
            return read_values(self._get, index, self.count)
        except (lmdb.Error, TypeError, ValueError, RecursionError) as error:
            name = printable(self._annotation_names[index])
            message = printable(str(error))[:200]
            raise DataError(f"{self.path}: a damaged LMDB: invalid annotation {name!r} ({message}).") from error

    def _has(self, key: bytes) -> bool:
        with self.env.begin(buffers=True) as transaction:
            return transaction.get(key) is not None

    def _get(self, key: bytes, limit: int) -> bytes | None:
        """Return the value of a key, None if the key is missing; ValueError if it has more than `limit` bytes."""
        with self.env.begin(buffers=True) as transaction:
            value = transaction.get(key)
            if value is None:
                return None
            check_size(len(value), limit)
            return bytes(value)

    def _select_size(self, size: int | None) -> None:
        self.size = choose_size(size, self.sizes)
        self.keys = [f"{self.size}-{index:05d}" for index in range(self.count)]

    def files(self) -> list[Path]:
        return [self.path / "data.mdb" if self.path.is_dir() else self.path]

    def read(self, key: str) -> bytes:
        value = self._get(key.encode(), MAX_FILE_BYTES)
        if value is None:
            raise LookupError("the LMDB has no such key")
        return value

    def validation(self) -> Storage | None:
        path = validation_path(self.path)
        if not path.exists():
            return None
        other = LmdbStorage(path, self.size)
        match_validation(self, other)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "env"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.env = _environment(self.path)


_environments: WeakValueDictionary[Path, Any] = WeakValueDictionary()
_environments_lock = threading.Lock()


def _environment(path: Path) -> Any:
    """Return the LMDB at `path`, opened only once per process, since LMDB refuses to open a file that is already open.
    DataError if it is damaged."""
    key = path.resolve()
    with _environments_lock:
        opened = _environments.get(key)
        if opened is None:
            check_pages(path)
            try:
                opened = lmdb.open(
                    os.fsencode(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_readers=256
                )
            except lmdb.Error as error:
                raise DataError(f"{path}: not an LMDB ({error}).") from error
            _environments[key] = opened
        return opened
