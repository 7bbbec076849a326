"""Annotations in `metadata.csv`, `metadata.jsonl` or `metadata.parquet` beside the images, as in the imagefolder of
Hugging Face's `datasets`.

The column `file_name` has the path of an image, relative to the metadata file, which may be in the folder of a split or
around all of them. Columns such as `mask_file_name` name other images, which are not part of the set. The other columns
are annotations. In a CSV, a column has whole numbers, numbers, or true and false, if all its values are such; an empty
value is none.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ganzoo.data.annotations import LazyAnnotations, is_annotation, listed
from ganzoo.data.labels import LABEL_COLUMNS
from ganzoo.errors import DataError, format_count, printable, reason

METADATA_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
_OTHER_IMAGES = re.compile(r"(.*_)?file_names?")  # columns, besides FILE_NAME
_WHOLE, _NUMBER = (
    re.compile(r"[+-]?\d{1,18}", re.ASCII),
    re.compile(r"[+-]?[\d.][\d.eE+-]*|[+-]?(nan|inf)", re.I | re.A),
)
_WORDS = {"true": True, "false": False}

Read = Callable[[str], bytes]  # reads a file of the set
Row = Mapping[str, Any]


class MetadataFiles:
    """The metadata files of a set: their `paths`, those of outer folders first, and the name of the column that gives
    the labels by default (None: there is none). `images` are the paths of all images, before `without_others`."""

    def __init__(self, paths: Sequence[str], columns: Sequence[str], images: Sequence[str]) -> None:
        self.paths, self.columns, self._images = paths, columns, images
        self.label = next((name for name in LABEL_COLUMNS if name in columns), None)

    def annotations(self, read: Read, keys: Sequence[str]) -> LazyAnnotations:
        """Return the annotations of the images `keys`; None where an image has no row. DataError says what is wrong
        with a file."""
        rows = dict[str, Row]()
        for path in self.paths:
            rows.update(self._read_rows(path, read))
        is_csv = self.paths[0].endswith(".csv")
        named = self.columns if is_csv else dict.fromkeys(name for row in rows.values() for name in row)
        names = [name for name in named if name and not names_images(name)]  # '': the index that pandas writes
        if not is_csv:
            names = [name for name in names if all(is_annotation(row.get(name)) for row in rows.values())]

        def values_of(name: str) -> list[Any]:
            values = [row.get(name) for row in rows.values()]
            by_path = dict(zip(rows, _typed(values) if is_csv else values))
            return [by_path.get(key) for key in keys]

        return LazyAnnotations({name: partial(values_of, name) for name in names})

    def without_others(self, read: Read) -> list[str]:
        """Return the images of the set, without those in columns for other images."""
        if not any(names_images(name) for name in self.columns if name != FILE_NAME):
            return list(self._images)
        others = set[str]()
        for path in self.paths:
            for row in self._read_rows(path, read).values():
                for name in filter(names_images, row.keys() - {FILE_NAME}):
                    given = row[name] if isinstance(row[name], list) else [row[name]]
                    others |= {_target(path, str(each)) for each in given}
        return [image for image in self._images if image not in others]

    def _read_rows(self, path: str, read: Read) -> dict[str, Row]:
        """Return the rows of a metadata file by the path of the image."""
        known, found, missing = {*self._images}, dict[str, Row](), list[str]()
        composed = {unicodedata.normalize("NFC", image): image for image in known if not image.isascii()}
        for place, row in _rows(path, read):
            name = row.get(FILE_NAME)
            if not isinstance(name, str) or not name:
                raise DataError(f"{path}: {place} has no {FILE_NAME}.")
            target, named = _target(path, name), f"{place}: {FILE_NAME} {printable(name)!r}"
            if not target:
                raise DataError(f"{path}, {named} is outside the folder of this file.")
            if target not in known:  # macOS may have decomposed the letters of a file's name
                target = composed.get(unicodedata.normalize("NFC", target), target)
            if target in found:
                raise DataError(f"{path}, {named} has a row already. Remove one of the two.")
            if target not in known:
                missing.append(named)
            found[target] = row
        if missing:
            count = format_count(len(missing), "row")
            raise DataError(
                f"{path}: {count} without an image; the first is {missing[0]}. Remove them, or add the image."
            )
        return found


def find_metadata(others: Sequence[str], images: Sequence[str], read: Read) -> MetadataFiles | str | None:
    """Return the metadata files among the files that are not images, or a note that says why they are not used, or None
    if there are none. DataError if their columns can't be read. Of several kinds, only the first is used."""
    for kind in METADATA_FILES:
        paths = sorted((path for path in others if posixpath.basename(path) == kind), key=lambda path: path.count("/"))
        if paths:
            columns = dict.fromkeys(name for path in paths for name in _columns(path, read))
            if FILE_NAME not in columns:
                return f"{kind} has no column {FILE_NAME} ({listed([*columns])}), so it is ignored"
            return MetadataFiles(paths, [*columns], images)
    return None


def names_images(column: str) -> bool:
    """Return whether the values of a column name images."""
    return bool(_OTHER_IMAGES.fullmatch(column))


def _target(path: str, name: str) -> str:
    """Return the path of the image that a metadata file names; '' if it is outside the file's folder."""
    relative = posixpath.normpath(name.replace("\\", "/"))
    if relative.startswith(("/", "../")) or relative in (".", ".."):
        return ""
    return posixpath.join(posixpath.dirname(path), relative)


def _columns(path: str, read: Read) -> list[str]:
    """Return the names of the columns; of a .jsonl, those in its first row."""
    if path.endswith(".csv"):
        header = read(path).partition(b"\n")[0]
        return _guarded(path, lambda: next(csv.reader([header.decode("utf-8-sig")]), []))
    return next(([*row] for _, row in _rows(path, read)), [])


def _rows(path: str, read: Read) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a metadata file, each with its place in words. DataError says what is wrong."""
    parse = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(posixpath.splitext(path)[1], _parquet_rows)
    rows = parse(read(path))
    while True:
        row = _guarded(path, lambda: next(rows, None))
        if row is None:
            return
        yield row


def _guarded(path: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start:,}). Save it as UTF-8.") from error
    except (ValueError, csv.Error, RecursionError) as error:
        what = printable(str(error))[:200]
        raise DataError(f"{path}: {what}{'' if what.endswith('?') else '.'}") from error


class _CsvRow(Mapping[str, "str | None"]):
    """A row of a CSV. A dict of every row would take four times as much memory."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[str]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, name: str) -> str | None:
        return self._values[self._places[name]] or None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _csv_rows(content: bytes) -> Iterator[tuple[str, Row]]:
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    try:
        header = next(reader, [])
        places = {name: place for place, name in enumerate(header)}
        if len(places) < len(header):
            raise ValueError("two columns have the same name")
        for row in reader:
            if row and len(row) != len(header):
                found = f"line {reader.line_num:,} has {len(row)} values for {len(header)} columns"
                raise ValueError(f"{found}; is the file cut off?")
            if row:
                # Most values occur in many rows, and are kept in memory once.
                yield f"line {reader.line_num:,}", _CsvRow(places, [*map(sys.intern, row)])
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num:,}: {error}; is the file cut off?") from error


def _jsonl_rows(content: bytes) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number:,} is not JSON ({error}); is the file cut off?") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number:,} is not a JSON object")
        yield f"line {number:,}", row


def _parquet_rows(content: bytes) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ValueError(f'reading Parquet needs pyarrow; run pip install "ganzoo[parquet]" ({error})') from error
    try:
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"not a readable Parquet file ({reason(error)})") from error
    yield from ((f"row {number:,}", row) for number, row in enumerate(rows))


def _typed(values: Sequence[str | None]) -> list[Any]:
    """Convert the texts of a CSV's column to whole numbers, numbers, or true and false, if all of them are such."""
    texts = [value for value in values if value is not None]
    convert: Callable[[str], Any] = str
    if all(map(_WHOLE.fullmatch, texts)):
        convert = int
    elif all(_NUMBER.fullmatch(text) and _is_float(text) for text in texts):
        convert = float
    elif all(text.lower() in _WORDS for text in texts):
        return [None if value is None else _WORDS[value.lower()] for value in values]
    return [None if value is None else convert(value) for value in values]


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
