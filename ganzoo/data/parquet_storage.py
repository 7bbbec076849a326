"""Images in Parquet files, as written by Hugging Face's `datasets`: one file, or a folder of shards.

A column has the encoded images, as bytes or as {bytes, path}. A column of labels gives the domains, whose names may be
in the metadata of `datasets` (ClassLabel). Rows are read in groups, as they are compressed; the last groups stay in
memory, so images in random order are read fast once the set has been read, if it fits.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.abstract_storage import Storage, check_size, match_validation, stored_fit
from ganzoo.data.annotations import LazyAnnotations
from ganzoo.data.labels import LABEL_COLUMNS, MAX_DOMAINS, NO_LABELS, domains_of, labels_of_values
from ganzoo.data.layout import validation_path
from ganzoo.data.splits import split_files
from ganzoo.errors import DataError, printable, reason

IMAGE_COLUMNS = ("image", "img", "images", "jpg", "png", "bytes")
MAX_CACHED_BYTES = 1 << 30  # of encoded images that stay in memory
FEATURES_KEY, OWN_KEY = "huggingface", "ganzoo"  # in the metadata of a file: the entries of `datasets`, and our own


class Place(NamedTuple):
    """A row: the file, its group of rows there, and its number in the group."""

    file: Path
    group: int
    row: int


class ParquetStorage(Storage):
    """Images in a .parquet file, or in all below a folder. In a folder, files named like `validation-00000.parquet` or
    `test-00000.parquet` beside others are for validation; beside a file NAME.parquet, NAME-val.parquet is."""

    def __init__(self, path: Path, labels: str | None = None) -> None:
        self.path = path
        self._files, self._held_out = split_files(find_parquet(path)) if path.is_dir() else ([path], [])
        self._open()
        self._image, self._label, self._class_names, self.metadata = _columns(self._files[0])
        try:
            self.fit = stored_fit(self.metadata, bool(self.metadata))
        except ValueError as error:
            raise DataError(
                f"{self._files[0]}: the entry of ganzoo is damaged: {printable(str(error))[:100]}."
            ) from error
        if labels not in (None, self._label):
            self._label = self._class_names = None
        places, values = self._read_index(self._files)
        self._set_places(places)
        if self._label:
            self.domains = self._class_names or domains_of(values, str(path))
            self.labels, self.labelled_by = self._labels_of(values), self._label
        self.labels_note = f"labels from the column {self._label}" if self._label else "no column of labels"
        self.notes = [f"Parquet, images from the column {self._image}, {self.labels_note}"]

    def _set_places(self, places: Sequence[Place]) -> None:
        several = self.path.is_dir()
        starts: dict[Path, int] = {}
        for number, place in enumerate(places):
            starts.setdefault(place.file, number)
        self._places = {
            f"{place.file.relative_to(self.path)}:{number - starts[place.file]}" if several else f"row {number}": place
            for number, place in enumerate(places)
        }
        self.keys = list(self._places)

    def _open(self) -> None:
        self._groups: OrderedDict[tuple[Path, int], Any] = OrderedDict()
        self._cached, self._lock = 0, threading.Lock()

    def _read_index(self, files: Sequence[Path]) -> tuple[list[Place], list[Any]]:
        """Return the places of all rows, and the values in their column of labels."""
        places, values = list[Place](), list[Any]()
        for file in files:
            with _opened(file) as table:
                missing = [each for each in (self._image, self._label) if each and each not in table.schema_arrow.names]
                if missing:
                    raise DataError(f"{file}: no column {printable(missing[0])}, which {self._files[0].name} has.")
                for group in range(table.num_row_groups):
                    places += [Place(file, group, row) for row in range(table.metadata.row_group(group).num_rows)]
                if self._label:
                    values += _guarded(file, lambda: table.read(columns=[self._label])[0].to_pylist())
        return places, values

    def files(self) -> Iterable[Path]:
        return self._files

    def read(self, key: str) -> bytes:
        file, group, row = self._places[key]
        with self._lock:
            value = self._group(file, group)[row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise ValueError("the row has no image" if data is None else "the row has a path instead of an image")
        check_size(len(data))
        return data

    def _group(self, file: Path, group: int) -> Any:
        """Return the column of images of a group of rows, from memory or from the file."""
        key = file, group
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key]
        with _opened(file) as table:
            column = table.read_row_group(group, columns=[self._image]).column(0)
        self._groups[key] = column
        self._cached += column.nbytes
        while self._cached > MAX_CACHED_BYTES and len(self._groups) > 1:
            _, oldest = self._groups.popitem(last=False)
            self._cached -= oldest.nbytes
        return column

    def validation(self) -> Storage | None:
        beside = validation_path(self.path)
        if not self.path.is_dir() and beside.is_file():
            held_out = ParquetStorage(beside, NO_LABELS if self.labels is None else self._label)
            match_validation(self, held_out)
            return held_out
        if not self._held_out:
            return None
        other = self._shallow_copy()
        other._files, other._held_out, other.notes = self._held_out, [], ()
        if self.labels is None:
            other._label = other._class_names = None
        other._open()
        places, values = other._read_index(other._files)
        other._set_places(places)
        if other._label:
            other.labels = other._labels_of(values)
        return other

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        with _opened(self._files[0]) as table:
            schema = table.schema_arrow
        features = _features(schema.metadata or {})
        return LazyAnnotations(
            {
                field.name: partial(
                    self._read_annotation, field.name, _names(features.get(field.name, {}).get("names"))
                )
                for field in schema
                if _is_annotation(field.type)
            }
        )

    def _read_annotation(self, name: str, class_names: Sequence[str] | None) -> list[Any]:
        """Return the values of a column; of a ClassLabel, the names of the classes."""
        values = list[Any]()
        for file in self._files:
            with _opened(file) as table:
                if name in table.schema_arrow.names:
                    values += _guarded(file, lambda: table.read(columns=[name]).column(name).to_pylist())
                else:
                    values += [None] * table.metadata.num_rows
        if class_names:
            names = dict(enumerate(class_names))
            return [names.get(value) for value in values]
        return [None if isinstance(value, list) and None in value else value for value in values]

    def _labels_of(self, values: Sequence[Any]) -> np.ndarray:
        names = dict(enumerate(self._class_names or ()))  # of classes; the values are their indices
        outside = f" (not 0 to {len(names) - 1})" if names else ""
        named = [value if value is None else names.get(value, f"{value}{outside}") for value in values]
        return labels_of_values(named, self.domains, lambda index: f"{self.path}: {printable(self.keys[index])}")

    def _select_size(self, size: int | None) -> None:
        raise AssertionError("a Parquet file has one size")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_groups", "_cached", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


def find_parquet(folder: Path) -> list[Path]:
    """Return the .parquet files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*.parquet") if path.is_file())


def _columns(file: Path) -> tuple[str, str | None, tuple[str, ...] | None, dict[str, Any]]:
    """Return the columns of images and of labels (None: there is none), the names of the classes if `datasets` has
    written them, and ganzoo's own metadata."""
    import pyarrow as pa

    with _opened(file) as table:
        schema = table.schema_arrow
    metadata = schema.metadata or {}
    features = _features(metadata)
    images = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or (pa.types.is_struct(field.type) and any(each.name == "bytes" for each in field.type))
    ]
    image = _first(images, IMAGE_COLUMNS) or (images[0] if len(images) == 1 else None)
    if image is None:
        listed = printable(", ".join(schema.names[:10]))
        what = f"several columns of images ({', '.join(images)})" if images else f"no column of images ({listed})"
        raise DataError(f"{file}: {what}. Images are bytes, or {{bytes, path}}, in a column `image`.")
    scalars = [each.name for each in schema if pa.types.is_integer(each.type) or pa.types.is_string(each.type)]
    classes = [name for name in scalars if features.get(name, {}).get("_type") == "ClassLabel"]
    label = _first(scalars, LABEL_COLUMNS) or (classes[0] if len(classes) == 1 else None)
    names = _names(features.get(label, {}).get("names")) if label else None
    return image, label, names, _entry(metadata, OWN_KEY)


def _is_annotation(kind: Any) -> bool:
    """Return whether a column of this type of pyarrow has text, numbers, true and false, or lists of numbers."""
    from pyarrow import types

    lists = types.is_list, types.is_large_list, types.is_fixed_size_list
    if any(is_list(kind) for is_list in lists):
        return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))
    kind = kind.value_type if types.is_dictionary(kind) else kind
    scalars = types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string
    return any(is_scalar(kind) for is_scalar in scalars)


def _names(names: Any) -> tuple[str, ...] | None:
    """Return the names of classes, None if they can't be names of domains."""
    if not (isinstance(names, list) and len({*map(str, names)}) == len(names) and 0 < len(names) <= MAX_DOMAINS):
        return None
    return tuple(printable(str(name)) for name in names)


def _features(metadata: dict[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Return the description of the columns by `datasets`; empty if there is none."""
    try:
        found = _entry(metadata, FEATURES_KEY)["info"]["features"]
        return {str(name): each for name, each in found.items() if isinstance(each, dict)}
    except (LookupError, TypeError, AttributeError):
        return {}


def _entry(metadata: dict[bytes, bytes], key: str) -> dict[str, Any]:
    """Return an entry of a file's metadata, a JSON object; empty if there is none."""
    try:
        found = json.loads(metadata.get(key.encode(), b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def _opened(file: Path) -> Any:
    """Open a Parquet file. DataError if pyarrow is missing or the file is damaged."""
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f'{file}: reading Parquet needs pyarrow. Run: pip install "ganzoo[parquet]" ({error})'
        ) from error
    return _guarded(file, lambda: parquet.ParquetFile(file))


def _guarded(file: Path, read: Any) -> Any:
    import pyarrow as pa

    try:
        return read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{file}: not a readable Parquet file ({reason(error)}).") from error
