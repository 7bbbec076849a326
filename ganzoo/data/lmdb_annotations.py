"""Annotations and attributes in an LMDB, in keys of their own, which earlier versions of ganzoo ignore.

`ganzoo-annotations` has JSON: the `names` of the annotations, and the one that gives the labels under `labelled_by`.
The values of the annotation with index 3 are a JSON list in `ganzoo-annotation-3`. `ganzoo-attributes` has the names
of the attributes as a JSON list, `ganzoo-attribute-values` their values as little-endian float32 (N, A).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ganzoo.data.abstract_storage import MAX_FILE_BYTES
from ganzoo.data.annotations import is_annotation, read_annotation
from ganzoo.data.attributes import read_attributes
from ganzoo.data.label_file import MAX_ATTRIBUTES
from ganzoo.errors import DataError, PluginError, printable
from ganzoo.interfaces.dataset import Dataset

INDEX_KEY, ANNOTATION_KEY = b"ganzoo-annotations", b"ganzoo-annotation-%d"
ATTRIBUTES_KEY, VALUES_KEY = b"ganzoo-attributes", b"ganzoo-attribute-values"
MAX_INDEX_BYTES, MAX_NAMES = 1 << 20, 1000

Get = Callable[[bytes, int], bytes | None]  # the value of a key, at most so many bytes
Say = Callable[[str], None]


def annotation_entries(dataset: Dataset, skipped: Collection[int], say: Say) -> dict[bytes, bytes]:
    """Return the entries for the annotations of all images except the `skipped` ones. What can't be stored is reported
    to `say`."""
    try:
        annotations = dataset.annotations()
        names = [*annotations][:MAX_NAMES]
    except DataError as error:
        say(f"annotations are not stored: {error}")
        return {}
    domains = dataset.info.domains
    labels = [domains[label] for label in dataset.labels()] if domains and dataset.labelled_by in names else None
    entries, stored = dict[bytes, bytes](), list[str]()
    for name in names:
        try:
            values = read_annotation(dataset, annotations, name)
            if name == dataset.labelled_by and "," not in name and values == labels:
                continue  # the domains say the same
            content = json.dumps([value for index, value in enumerate(values) if index not in skipped]).encode()
            if len(content) > MAX_FILE_BYTES:
                raise DataError(f"{printable(name)!r} has {len(content):,} bytes; the limit is {MAX_FILE_BYTES:,}.")
        except (DataError, PluginError) as error:
            say(f"an annotation is not stored: {error}")
            continue
        entries[ANNOTATION_KEY % len(stored)] = content
        stored.append(name)
    if stored or dataset.labelled_by:
        index = {"names": stored, "labelled_by": dataset.labelled_by}
        entries[INDEX_KEY] = json.dumps(index).encode()
    return entries


def attribute_entries(dataset: Dataset, skipped: Collection[int]) -> dict[bytes, bytes]:
    """Return the entries for the attributes of all images except the `skipped` ones."""
    values = read_attributes(dataset)
    if values is None:
        return {}
    kept = np.delete(values, [*skipped], 0).astype("<f4")
    return {ATTRIBUTES_KEY: json.dumps(dataset.info.attributes).encode(), VALUES_KEY: kept.tobytes()}


def read_index(get: Get) -> tuple[list[str], str]:
    """Return the names of the stored annotations, and of the one that gives the labels ('': unknown). ValueError or
    TypeError if the entry is damaged."""
    stored = get(INDEX_KEY, MAX_INDEX_BYTES)
    index = json.loads(stored) if stored else {"names": [], "labelled_by": ""}
    if type(index) is not dict or type(index.get("labelled_by")) is not str:
        raise TypeError("expected an object with 'names' and 'labelled_by'")
    return _checked_names(index.get("names")), index["labelled_by"]


def read_values(get: Get, index: int, count: int) -> list[Any]:
    """Return the values of an annotation. ValueError or TypeError if the entry is damaged."""
    values = json.loads(get(ANNOTATION_KEY % index, MAX_FILE_BYTES) or "null")
    if type(values) is not list or not all(map(is_annotation, values)):
        raise TypeError("expected a list of values")
    if len(values) != count:
        raise ValueError(f"{len(values)} values for {count} images")
    return values


def read_stored_attributes(get: Get, count: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the names of the attributes, and the attributes float32 (N, A). ValueError or TypeError if an entry is
    damaged."""
    stored = get(ATTRIBUTES_KEY, MAX_INDEX_BYTES)
    if stored is None:
        return (), None
    names = _checked_names(json.loads(stored))
    values = get(VALUES_KEY, 4 * count * MAX_ATTRIBUTES) or b""
    if not 1 <= len(names) <= MAX_ATTRIBUTES or len(values) != 4 * count * len(names):
        raise ValueError(f"{len(values)} bytes for {len(names)} attributes of {count} images")
    return tuple(map(printable, names)), np.frombuffer(values, "<f4").astype(np.float32).reshape(count, len(names))


def _checked_names(names: Any) -> list[str]:
    if type(names) is not list or not {*map(type, names)} <= {str} or len(names) > MAX_NAMES:
        raise TypeError("expected a list of names")
    if len({*names}) < len(names):
        raise ValueError("a name occurs twice")
    return names
