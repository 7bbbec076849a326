"""Images in Parquet files, as written by Hugging Face's `datasets`: one file, or a folder of shards.

A column has the encoded images, as bytes or as {bytes, path}. A column of labels gives the domains, whose names may be
in the metadata of `datasets` (ClassLabel). Rows are read in groups, as they are compressed; the last groups stay in
memory, so images in random order are read fast once the set has been read, if it fits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.abstract_storage import Storage, check_size, match_validation
from ganzoo.data.annotations import LazyAnnotations, as_rows, listed, require_complete
from ganzoo.data.labels import NO_LABELS, domains_of, labels_of_values, uniform_labels, values_of_names
from ganzoo.data.layout import validation_path
from ganzoo.data.parquet_columns import Columns, class_names_of, features_of, find_columns, is_annotation
from ganzoo.data.splits import split_files
from ganzoo.errors import DataError, format_count, printable, reason

MISSING = (None, -1)  # in a column of classes, as in `datasets`
MAX_CACHED_BYTES = 1 << 30  # of encoded images that stay in memory


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
        self._columns = _find_columns(self._files[0])
        self.metadata, self.fit = self._columns.metadata, self._columns.fit
        named = self._columns.label or self._columns.attributes
        if labels not in (None, named):
            self._columns = self._columns._replace(label=None, attributes=None, attribute_names=())
            named = None
        places, values = self._read_index(self._files)
        self._set_places(places)
        self._has_secret_labels = bool(values) and _all_missing(values, self._columns)
        if self._has_secret_labels:
            self._columns, named = self._columns._replace(label=None), self._columns.attributes
        if self._columns.label:
            self.domains = self._columns.class_names or domains_of(uniform_labels(values), str(path))
            self.labels = self._labels_of(values)
        self.attribute_names = self._columns.attribute_names
        self.attributes = self._read_attributes()
        self.labelled_by = named or ""
        self.labels_note = self._describe_labels()
        self.notes = [f"Parquet, images from the column {printable(self._columns.image)}, {self.labels_note}"]
        if others := self._columns.other_images:
            self.notes.append(f"columns of images that are not used: {listed(others)}")

    def _describe_labels(self) -> str:
        labels, attributes = self._columns.label, self._columns.attributes
        found = [f"labels from the column {printable(labels)}"] if labels else []
        if attributes:
            found.append(
                f"{format_count(len(self.attribute_names), 'attribute')} from the column {printable(attributes)}"
            )
        none = "the column of labels is empty" if self._has_secret_labels else "no column of labels"
        return " and ".join(found) or none

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
                self._require_columns(file, table.schema_arrow.names)
                for group, rows in enumerate(_rows_of_groups(file, table)):
                    places += [Place(file, group, row) for row in range(rows)]
                if self._columns.label:
                    values += _read_column(file, table, self._columns.label)
        return places, values

    def _require_columns(self, file: Path, names: Sequence[str]) -> None:
        needed = self._columns.image, self._columns.label, self._columns.attributes
        missing = [name for name in needed if name and name not in names]
        if missing:
            raise DataError(f"{file}: no column {printable(missing[0])}, which {self._files[0].name} has.")

    def _read_attributes(self) -> np.ndarray | None:
        """Return the attributes of all images, float32 (N, A), None if they have none."""
        column = self._columns.attributes
        if not column:
            return None
        parts = list[np.ndarray]()
        for file in self._files:
            with _opened(file) as table:
                values = _read_column(file, table, column)
            rows = as_rows(values) if values else np.zeros((0, len(self.attribute_names)), np.float32)
            if rows is None or rows.shape[1] != len(self.attribute_names):
                needed = format_count(len(self.attribute_names), "number")
                raise DataError(f"{file}: the column {printable(column)} doesn't have {needed} for each image.")
            parts.append(rows)
        return np.concatenate(parts)

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
            column = table.read_row_group(group, columns=[self._columns.image]).column(self._columns.image)
        self._groups[key] = column
        self._cached += column.nbytes
        while self._cached > MAX_CACHED_BYTES and len(self._groups) > 1:
            _, oldest = self._groups.popitem(last=False)
            self._cached -= oldest.nbytes
        return column

    def validation(self) -> Storage | None:
        beside = validation_path(self.path)
        if not self.path.is_dir() and beside.is_file():
            held_out = ParquetStorage(beside, self.labelled_by or NO_LABELS)
            if not held_out.keys or (self.domains and held_out._has_secret_labels):
                return None
            match_validation(self, held_out)
            return held_out
        if not self._held_out:
            return None
        other = self._shallow_copy()
        other._files, other._held_out, other.notes = self._held_out, [], ()
        if not self.labelled_by:
            other._columns = self._columns._replace(label=None, attributes=None, attribute_names=())
        other._open()
        places, values = other._read_index(other._files)
        other._set_places(places)
        if not places or (values and _all_missing(values, other._columns)):
            return None
        if other._columns.label:
            other.labels = other._labels_of(values)
        other.attributes = other._read_attributes()
        return other

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        with _opened(self._files[0]) as table:
            schema = table.schema_arrow
        features = features_of(schema.metadata or {})
        readers = {}
        for field in schema:
            if is_annotation(field.type):
                names = class_names_of(features, field.name)
                own = "label" in self.metadata  # ganzoo made classes of whole numbers, or of true and false
                values = values_of_names(names) if names and own else names
                readers[field.name] = partial(self._read_annotation, field.name, values)
        return LazyAnnotations(readers)

    def _read_annotation(self, name: str, class_values: Sequence[Any] | None) -> list[Any]:
        """Return the values of a column; of a ClassLabel, those of the classes."""
        values = list[Any]()
        for file in self._files:
            with _opened(file) as table:
                if name in table.schema_arrow.names:
                    values += _read_column(file, table, name)
                else:
                    values += [None] * table.metadata.num_rows
        if class_values:
            known = dict(enumerate(class_values))
            return [known.get(value) for value in values]
        return [None if isinstance(value, list) and None in value else value for value in values]

    def _labels_of(self, values: Sequence[Any]) -> np.ndarray:
        names = dict(enumerate(self._columns.class_names or ()))  # of classes; the values are their indices
        if names:
            outside = f" (not 0 to {len(names) - 1})"
            known = [None if value in MISSING else names.get(value, f"{value}{outside}") for value in values]
        else:
            known = uniform_labels(values)
        require_complete(known, self._columns.label or "", str(self.path), self._describe)
        return labels_of_values(known, self.domains, self._describe)

    def _describe(self, index: int) -> str:
        return f"{self.path}: {printable(self.keys[index])}"

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


def _all_missing(values: Sequence[Any], columns: Columns) -> bool:
    """Return whether no image has a label, such as those of a test whose labels are secret."""
    return all(value is None or (columns.class_names and value in MISSING) for value in values)


def _find_columns(file: Path) -> Columns:
    with _opened(file) as table:
        schema = table.schema_arrow
    try:
        return find_columns(schema)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(f"{file}: the entry of ganzoo is damaged: {printable(str(error))[:100]}.") from error


def _rows_of_groups(file: Path, table: Any) -> list[int]:
    """Return the number of rows of each group. DataError if their sum is not the number of rows of the file."""
    found = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
    if sum(found) != table.metadata.num_rows or min(found, default=0) < 0:
        raise DataError(
            f"{file}: damaged: it says that it has {table.metadata.num_rows:,} rows, but that its groups of rows have "
            f"{sum(found):,}."
        )
    return found


def _read_column(file: Path, table: Any, name: str) -> list[Any]:
    """Return the values of a column. (Others may be read too: that of the name `pose.x` for `pose`.)"""
    values: list[Any] = _guarded(file, lambda: table.read(columns=[name]).column(name).to_pylist())
    if len(values) != table.metadata.num_rows:
        raise DataError(
            f"{file}: damaged: the column {printable(name)} has {format_count(len(values), 'value')}, but the file has "
            f"{table.metadata.num_rows:,} rows."
        )
    return values


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
