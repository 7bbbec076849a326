"""Annotations as columns of one type each, as files for other programs hold them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from ganzoo.data.annotations import read_annotation
from ganzoo.data.attributes import read_attributes
from ganzoo.data.labels import FOLDER, LABEL_COLUMNS, uniform_labels
from ganzoo.errors import DataError, PluginError, printable
from ganzoo.interfaces.dataset import Dataset

DEFAULT_LABEL = LABEL_COLUMNS[0]
INT64 = range(-(1 << 63), 1 << 63)

Say = Callable[[str], None]


class Column(NamedTuple):
    """An annotation of every image, None where there is none: `dtype` is string, bool, int64 or float64, the type of
    the values or, if `is_list`, of those in their lists."""

    dtype: str
    is_list: bool
    values: Sequence[Any]


@dataclass(frozen=True)
class AnnotationColumns:
    """The annotations of a data set by name, and the name for the column of its domains, or else of its attributes, ''
    if it has neither. That name is `label`, if no other annotation has it. An annotation that says the same as the
    domains or attributes is left out if it has that name, or is the images' folders."""

    label: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)


def annotation_columns(splits: Sequence[Dataset], say: Say) -> list[AnnotationColumns]:
    """Return the annotations of the training images and of the validation images, if there are any. Both have the same
    columns. What can't be stored, or not as it is, is reported to `say`."""
    try:
        known = [split.annotations() for split in splits]
        names = [*dict.fromkeys(name for annotations in known for name in annotations)]
    except DataError as error:
        say(f"labels to choose from are not stored: {error}")
        known, names = [{} for _ in splits], []
    columns = [dict[str, Column]() for _ in splits]
    for name in names:
        try:
            values = [
                read_annotation(split, annotations, name) if name in annotations else [None] * len(split)
                for split, annotations in zip(splits, known)
            ]
        except (DataError, PluginError) as error:
            say(f"an annotation is not stored: {error}")
            continue
        for found, column in zip(columns, _columns(name, values, say)):
            found[_text(name)] = column
    label, same = _label_name(splits[0], columns[0])
    return [
        AnnotationColumns(label, {name: column for name, column in found.items() if name != same}) for found in columns
    ]


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name for a column: `name`, or with a number if another column has it."""
    taken = {*taken}
    return next(each for number in count(1) if (each := name if number == 1 else f"{name}_{number}") not in taken)


def _label_name(dataset: Dataset, columns: Mapping[str, Column]) -> tuple[str, str | None]:
    """Return the name of the column of labels ('': there is none), and the annotation that it replaces, if any."""
    if not dataset.info.domains and not dataset.info.attributes:
        return "", None
    labelled_by = _text(dataset.labelled_by)
    known = labelled_by in columns and _says_the_same(dataset, columns[labelled_by].values)
    same = labelled_by if known and labelled_by else None
    others = columns.keys() - {same}
    name = next((each for each in (DEFAULT_LABEL, same) if each and each not in others), None)
    return name or free_name(DEFAULT_LABEL, others), same if same in (name, FOLDER) else None


def _says_the_same(dataset: Dataset, values: Sequence[Any]) -> bool:
    """Return whether an annotation has the domains, or else the attributes, of all images."""
    domains = dataset.info.domains
    if domains:
        names = [printable(str(value)) for value in uniform_labels(values)]
        return names == [domains[label] for label in dataset.labels()]
    attributes = read_attributes(dataset)
    return attributes is not None and list(values) == attributes.tolist()


def _columns(name: str, splits: Sequence[Sequence[Any]], say: Say) -> list[Column]:
    """Return the values of an annotation, by split, as columns of the type that fits all of them."""
    known = [value for values in splits for value in values if value is not None]
    dtype, is_list = _common_type(known)
    if dtype == "string" and not all(isinstance(value, str) for value in known):
        say(f"the annotation {printable(name)!r} is stored as text, since no other type holds all its values")
    convert = _CONVERT[dtype]
    if dtype == "string" and all(isinstance(value, int) for value in known):
        convert = _whole_number  # among them, true is 1: see `uniform_labels`

    def converted(value: Any) -> Any:
        if value is None or not is_list:
            return None if value is None else convert(value)
        return [convert(number) for number in (value if isinstance(value, list) else [value])]

    return [Column(dtype, is_list, [*map(converted, values)]) for values in splits]


def _common_type(values: Sequence[Any]) -> tuple[str, bool]:
    """Return the type that holds all values (not None), and whether they are lists of it."""
    types = {*map(type, values)}
    if types == {bool}:
        return "bool", False
    is_list = list in types and types <= {list, int, float}
    if not values or not (is_list or types <= {bool, int, float}):
        return "string", False
    numbers = [number for value in values for number in (value if isinstance(value, list) else [value])]
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) == len(numbers) and numbers:
        return ("int64", is_list) if all(number in INT64 for number in whole) else ("string", False)
    return ("float64", is_list) if all(abs(number) <= sys.float_info.max for number in whole) else ("string", False)


def _text(value: Any) -> str:
    """Convert a value to text that any program can read, as `uniform_labels` does."""
    if isinstance(value, list):
        return json.dumps(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "backslashreplace").decode()


def _whole_number(value: int) -> str:
    return str(int(value))


_CONVERT: Mapping[str, Callable[[Any], Any]] = {"bool": bool, "int64": int, "float64": float, "string": _text}
