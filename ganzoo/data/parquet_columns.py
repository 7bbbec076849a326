"""What the columns of a Parquet file are: those of `datasets`, and those that ganzoo writes.

ganzoo describes its own files in an entry of their metadata, {"label": "label", "attributes": {"column": "attributes",
"names": ["age", ...]}, "flip": false, "fit": "pad"}: the column that gives the domains (null: none does; earlier
versions omit it) and the one with lists of attributes, if there is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ganzoo.data.abstract_storage import stored_fit
from ganzoo.data.labels import LABEL_COLUMNS, MAX_DOMAINS
from ganzoo.errors import DataError, printable

IMAGE_COLUMNS = ("image", "img", "images", "jpg", "png", "bytes")
FEATURES_KEY, OWN_KEY = "huggingface", "ganzoo"  # in the metadata of a file: the entries of `datasets`, and our own


class Columns(NamedTuple):
    """The column of images, and others of images, which are not used; of labels (None: there is none), with the names
    of the classes if `datasets` has written them, and of attributes (None: there is none), with their names; ganzoo's
    own metadata, and the images' `fit`."""

    image: str
    other_images: Sequence[str]
    label: str | None
    class_names: tuple[str, ...] | None
    attributes: str | None
    attribute_names: tuple[str, ...]
    metadata: dict[str, Any]
    fit: str | None


def find_columns(schema: Any) -> Columns:
    """Find the columns in a schema of pyarrow. DataError if there is no column of images, ValueError, TypeError or
    LookupError if ganzoo's own metadata are damaged."""
    metadata = schema.metadata or {}
    features, own = features_of(metadata), _entry(metadata, OWN_KEY)
    image, other_images = _image_columns(schema)
    if "label" in own:
        label = own["label"]
    else:
        scalars = [each.name for each in schema if _gives_classes(each.type)]
        classes = [name for name in scalars if features.get(name, {}).get("_type") == "ClassLabel"]
        label = _first(scalars, LABEL_COLUMNS) or (classes[0] if len(classes) == 1 else None)
    if label is not None and label not in schema.names:
        raise ValueError(f"the column of labels {label!r} is missing")
    attributes, attribute_names = _attribute_columns(own, schema)
    names = class_names_of(features, label) if label else None
    return Columns(image, other_images, label, names, attributes, attribute_names, own, stored_fit(own, bool(own)))


def _image_columns(schema: Any) -> tuple[str, list[str]]:
    """Return the column of images to use, and the others."""
    from pyarrow import types

    images = [
        field.name
        for field in schema
        if types.is_binary(field.type)
        or types.is_large_binary(field.type)
        or (types.is_struct(field.type) and any(each.name == "bytes" for each in field.type))
    ]
    image = _first(images, IMAGE_COLUMNS) or (images[0] if len(images) == 1 else None)
    if image is None and images:
        raise DataError(
            f"several columns of images ({printable(', '.join(images))}). Rename the one to train on to `image`."
        )
    if image is None:
        listed = printable(", ".join(schema.names[:10]))
        raise DataError(f"no column of images ({listed}). Images are bytes, or {{bytes, path}}, in a column `image`.")
    return image, [name for name in images if name != image]


def _attribute_columns(own: Mapping[str, Any], schema: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return the column of attributes, None if there is none, and the names of the attributes."""
    if "attributes" not in own:
        return None, ()
    column, names = own["attributes"]["column"], own["attributes"]["names"]
    if column not in schema.names:
        raise ValueError(f"the column of attributes {column!r} is missing")
    if type(names) is not list or not names or len({*map(str, names)}) < len(names):
        raise ValueError("expected the names of the attributes")
    return column, tuple(printable(str(name)) for name in names)


def is_annotation(kind: Any) -> bool:
    """Return whether a column of this type of pyarrow has text, numbers, true and false, or lists of numbers."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))
    return _gives_classes(kind) or bool(types.is_floating(kind.value_type if types.is_dictionary(kind) else kind))


def _gives_classes(kind: Any) -> bool:
    """Return whether a column of this type of pyarrow has text, whole numbers, or true and false."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_integer(kind) or types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind)
    )


def class_names_of(features: Mapping[str, Mapping[str, Any]], column: str) -> tuple[str, ...] | None:
    """Return the names of a column's classes; None if it has none, or they can't be names of domains."""
    names = features.get(column, {}).get("names")
    if not (isinstance(names, list) and len({*map(str, names)}) == len(names) and 0 < len(names) <= MAX_DOMAINS):
        return None
    return tuple(printable(str(name)) for name in names)


def features_of(metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Return the description of the columns by `datasets`; empty if there is none."""
    try:
        found = _entry(metadata, FEATURES_KEY)["info"]["features"]
        return {str(name): each for name, each in found.items() if isinstance(each, dict)}
    except (LookupError, TypeError, AttributeError):
        return {}


def _entry(metadata: Mapping[bytes, bytes], key: str) -> dict[str, Any]:
    """Return an entry of a file's metadata, a JSON object; empty if there is none."""
    try:
        found = json.loads(metadata.get(key.encode(), b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)
