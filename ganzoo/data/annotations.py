"""Annotations of a data set's images: what is known of each of them, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ganzoo.errors import DataError, PluginError, format_count, printable
from ganzoo.interfaces.dataset import Dataset

MAX_SHOWN = 10  # values in a message
MAX_NAMES_SHOWN = 100
FLOAT32_MAX = float(np.finfo(np.float32).max)


class LazyAnnotations(Mapping[str, Sequence[Any]]):
    """Annotations of which each is read when it is used."""

    def __init__(self, readers: Mapping[str, Callable[[], Sequence[Any]]]) -> None:
        self._readers = dict(readers)

    def __or__(self, others: Mapping[str, Sequence[Any]]) -> LazyAnnotations:
        """Return these annotations and others, which replace those of the same name."""
        return LazyAnnotations({**self._readers, **{name: partial(others.__getitem__, name) for name in others}})

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._readers  # Mapping would read the values

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def read_annotation(dataset: Dataset, annotations: Mapping[str, Sequence[Any]], name: str) -> list[Any]:
    """Return an annotation as plain values: str, bool, int, float, a list of numbers, or None where there is none (or
    NaN, or an empty text). PluginError if the data set gives something else."""
    given = annotations[name]
    values = [_plain(value) for value in (given.tolist() if isinstance(given, np.ndarray) else given)]
    who = f"{dataset.info.name}: the annotation {printable(name)!r}"
    if len(values) != len(dataset):
        raise PluginError(f"{who} has {format_count(len(values), 'value')} for {format_count(len(dataset), 'image')}.")
    for value in values:
        if not is_annotation(value):
            raise PluginError(
                f"{who} contains {shown(value)}; values are text, numbers, true or false, lists of numbers, or None."
            )
    return values


def _plain(value: Any) -> Any:
    """Convert a value of NumPy to one of Python, and NaN and an empty text to None."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, tuple):
        value = [*value]
    return None if value == "" or (isinstance(value, float) and math.isnan(value)) else value


def is_annotation(value: Any) -> bool:
    """Return whether a value is text, a number, true, false, a list of numbers, or None."""
    return (
        value is None
        or isinstance(value, (str, int, float))
        or (isinstance(value, list) and all(map(is_number, value)))
    )


def is_number(value: Any) -> bool:
    """Return whether a value is a number; true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def are_classes(values: Sequence[Any]) -> bool:
    """Return whether values without None can be names of domains: text, whole numbers, true or false."""
    return all(isinstance(value, (str, int)) for value in values)


def require_complete(values: Sequence[Any], name: str, who: str, describe: Callable[[int], str]) -> None:
    """Raise DataError if images have no value of the annotation that gives their labels."""
    missing = [index for index, value in enumerate(values) if value is None]
    if missing:
        have = "has" if len(missing) == 1 else "have"
        raise DataError(
            f"{printable(who)}: {len(missing):,} of {format_count(len(values), 'image')} {have} no "
            f"{printable(name)!r}; the first is {describe(missing[0])}. Add what is missing, or choose other labels "
            "with --labels."
        )


def as_rows(values: Sequence[Any]) -> np.ndarray | None:
    """Return numbers, or lists of equally many numbers, as float32 (N, width); true is 1 and false is 0. None if the
    values are something else, or too large for float32."""
    rows = [value if isinstance(value, list) else [value] for value in values]
    width = len(rows[0]) if rows else 0
    fits = all(len(row) == width and all(map(_fits_float32, row)) for row in rows)
    return np.array(rows, np.float32).reshape(len(rows), width) if width and fits else None


def _fits_float32(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= FLOAT32_MAX


def shown(value: Any) -> str:
    """Format a value for a message."""
    return printable(repr(value))[:60]


def listed(names: Sequence[str], limit: int = MAX_SHOWN) -> str:
    """Format names or values for a message, at most `limit` of them."""
    return printable(", ".join(names[:limit])) + (", ..." if len(names) > limit else "")
