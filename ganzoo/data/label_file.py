"""Labels in a file `dataset.json` beside the images, as written by the dataset tools of NVIDIA's StyleGAN2-ADA and
StyleGAN3.

The file contains {"labels": [["00000/img00000000.png", 6], ...]}: for each image, by its path, a class as a whole
number or a list of numbers, its attributes. {"labels": null} means that there are none. Folders such as 00000 have no
meaning. `ganzoo data prepare` adds an entry that NVIDIA's programs ignore, {"ganzoo": {"domains": ["cat", ...], "flip":
false, "fit": "pad"}}, with the names of the classes, and `fit` unless it is crop. Or it has the names of the
`attributes`, and the `label`'s own name if that is another.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.abstract_storage import stored_fit
from ganzoo.data.annotations import shown
from ganzoo.data.labels import LABEL_COLUMNS, domains_of, labels_of_values, values_of_names
from ganzoo.errors import DataError, format_count, printable

LABEL_FILE = "dataset.json"
OWN_ENTRY = "ganzoo"
MAX_ATTRIBUTES = 1000
DEFAULT_NAME = LABEL_COLUMNS[0]


class FileLabels(NamedTuple):
    """What a label file says: a class for each image, or attributes float32 (N, A), or neither, and what `--labels`
    calls that. `metadata` is ganzoo's entry, and `fit` how it made the images square; None: another program wrote the
    file."""

    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    attributes: np.ndarray | None = None
    name: str = DEFAULT_NAME
    metadata: Mapping[str, Any] = {}
    fit: str | None = None

    def values(self) -> list[Any] | None:
        """Return the label of each image, as a number or by its name; None if there are none."""
        if self.labels is not None:
            values = values_of_names(self.domains)
            return [values[label] for label in self.labels]
        return None if self.attributes is None else self.attributes.tolist()

    def note(self) -> str:
        """Describe the labels in a line."""
        if self.labels is not None:
            return f"{LABEL_FILE} gives the labels; folders are not domains"
        if self.attributes is not None:
            return f"{LABEL_FILE} gives {format_count(self.attributes.shape[1], 'attribute')}; folders are not domains"
        return f"{LABEL_FILE} gives no labels; folders are not domains"


def find_label_file(others: Sequence[str], images: Sequence[str]) -> str | None:
    """Return the path of the label file among the files that are not images: the one in the folder that contains all
    images, or in one around it."""
    files = [path for path in others if posixpath.basename(path) == LABEL_FILE]
    around = [path for path in files if all(image.startswith(path.removesuffix(LABEL_FILE)) for image in images)]
    return max(around, key=len, default=None)


def read_labels(content: bytes, images: Sequence[str], folder: str) -> FileLabels | None:
    """Return the labels of images, whose paths in the label file start at `folder`; None if the file has no entry
    `labels`, so that it is some other file. DataError says what is wrong."""
    try:
        entries = json.loads(content)
        if not (isinstance(entries, dict) and "labels" in entries):
            return None
        by_path = None if entries["labels"] is None else {str(path): label for path, label in entries["labels"]}
        own = entries.get(OWN_ENTRY, {})
        names = tuple(printable(str(name)) for name in own.get("domains", ()))
        attribute_names = tuple(printable(str(name)) for name in own.get("attributes", ()))
        fit, name = stored_fit(own, OWN_ENTRY in entries), str(own.get("label", DEFAULT_NAME))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        what = f'not {{"labels": [[PATH, LABEL], ...]}} ({printable(str(error))[:100]})'
        raise DataError(f"{LABEL_FILE}: {what}.") from error
    if by_path is None:
        return FileLabels(metadata=own, fit=fit)
    paths = [image[len(folder) :] for image in images]
    missing = [path for path in paths if path not in by_path]
    if missing:
        count = format_count(len(missing), "image")
        raise DataError(f"{LABEL_FILE}: no label for {count}, such as {printable(missing[0])}.")
    found = [by_path[path] for path in paths]
    is_list = isinstance(found[0], list)
    labels = _attributes(paths, found, attribute_names) if is_list else _classes(paths, found, names)
    return labels._replace(metadata=own, fit=fit, name=name)


def _classes(paths: Sequence[str], found: Sequence[Any], names: tuple[str, ...]) -> FileLabels:
    for path, label in zip(paths, found):
        if type(label) is not int:
            raise DataError(f"{LABEL_FILE}: the label of {printable(path)} is {shown(label)}, not a whole number.")
    if names:
        if len({*names}) < len(names):
            raise DataError(f"{LABEL_FILE}: a domain is named twice ({', '.join(names)[:100]}).")
        outside = next((path for path, label in zip(paths, found) if label not in range(len(names))), None)
        if outside is not None:
            label = found[paths.index(outside)]
            raise DataError(f"{LABEL_FILE}: the label of {printable(outside)} is {label}, not 0 to {len(names) - 1}.")
        return FileLabels(names, np.array(found, np.int64))
    domains = domains_of(found, LABEL_FILE)
    return FileLabels(domains, labels_of_values(found, domains, paths.__getitem__))


def _attributes(paths: Sequence[str], found: Sequence[Any], names: tuple[str, ...]) -> FileLabels:
    width = len(found[0])
    if not 1 <= width <= MAX_ATTRIBUTES:
        raise DataError(
            f"{LABEL_FILE}: {width:,} numbers for {printable(paths[0])}; there can be 1 to {MAX_ATTRIBUTES:,}."
        )
    for path, row in zip(paths, found):
        if not (isinstance(row, list) and len(row) == width and all(map(_is_number, row))):
            raise DataError(
                f"{LABEL_FILE}: the label of {printable(path)} is {shown(row)}, but that of the first image is "
                f"{format_count(width, 'number')}."
            )
    if names and len({*names}) != width:
        raise DataError(f"{LABEL_FILE}: {format_count(len({*names}), 'name')} for {format_count(width, 'attribute')}.")
    names = names or tuple(map(str, range(width)))
    return FileLabels(attribute_names=names, attributes=np.array(found, np.float32).reshape(len(found), width))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float(np.finfo(np.float32).max) and math.isfinite(value)
