"""Domains from the values of labels, which are stored beside the images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ganzoo.errors import DataError, printable

LABEL_COLUMNS = ("label", "labels", "fine_label", "cls")  # names of columns that give labels by default
NO_LABELS, FOLDER = "none", "folder"  # names for `--labels`
MAX_DOMAINS = 1000  # more different labels are probably not classes
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)  # of 64 bits


def uniform_labels(values: Sequence[Any]) -> list[Any]:
    """Give label values (text, whole numbers, true and false) one type: integers if all are whole numbers, perhaps
    mixed with true and false (true becomes 1), otherwise text. None stays None."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, int) for value in known) and not all(isinstance(value, bool) for value in known):
        return [None if value is None else int(value) for value in values]
    return [
        None if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values
    ]


def values_of_names(names: Sequence[str]) -> list[Any]:
    """Undo `uniform_labels` and `domains_of`: return the label values behind these names of domains, which are whole
    numbers, true and false, or text."""
    if all(_WHOLE.fullmatch(name) and str(int(name)) == name for name in names):
        return [*map(int, names)]
    return [name == "true" for name in names] if {*names} <= {"true", "false"} else [*names]


def domains_of(values: Sequence[Any], where: str) -> tuple[str, ...]:
    """Return domains named after the different values (numbers or strings; None: no label), in ascending order.
    DataError, which names `where`, if there are too many."""
    found = sorted({value for value in values if value is not None}, key=lambda each: (isinstance(each, str), each))
    if len(found) > MAX_DOMAINS:
        raise DataError(f"{where}: {len(found):,} different labels are too many for domains (at most {MAX_DOMAINS:,}).")
    return tuple(printable(str(value)) for value in found)


def labels_of_values(values: Sequence[Any], domains: Sequence[str], where: Callable[[int], str]) -> np.ndarray:
    """Return the index of each value's domain, int (N,). DataError, which names the image by `where(index)`, if a value
    is None or not one of the domains."""
    known = {name: index for index, name in enumerate(domains)}
    labels = [None if value is None else known.get(printable(str(value))) for value in values]
    if None in labels:
        index = labels.index(None)
        value = values[index]
        if value is None:
            raise DataError(f"{where(index)} has no label, but others have.")
        found = f"the label {printable(str(value))[:60]}"
        more = ", ..." if len(domains) > 10 else ""
        raise DataError(f"{where(index)} has {found}, which is none of {', '.join(domains[:10])}{more}.")
    return np.array(labels, np.int64)
