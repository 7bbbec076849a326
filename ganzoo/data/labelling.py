"""Labelling a data set by some of its annotations, as `--labels` chooses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ganzoo.data.annotations import (
    MAX_NAMES_SHOWN,
    are_classes,
    as_rows,
    is_number,
    listed,
    read_annotation,
    require_complete,
    shown,
)
from ganzoo.data.label_file import MAX_ATTRIBUTES
from ganzoo.data.labels import FOLDER, MAX_DOMAINS, NO_LABELS, domains_of, labels_of_values, uniform_labels
from ganzoo.data.wrapped import WrappedDataset
from ganzoo.errors import DataError, OptionError, did_you_mean, printable
from ganzoo.interfaces.dataset import Dataset


@runtime_checkable
class _Unlabelled(Protocol):
    def unlabelled(self) -> Dataset: ...


class Labels(NamedTuple):
    """What the annotations `names` give: a label for each image, int (N,), with the names of the domains; or attributes
    float32 (N, A), with theirs."""

    names: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    attributes: np.ndarray | None = None


def with_labels(dataset: Dataset, labels: str) -> Dataset:
    """Return the same images, labelled by their annotations.

    `labels` is the name of an annotation: text, whole numbers, true or false give domains; other numbers and lists of
    numbers give attributes. Several names, separated by commas, give attributes; so does one name with a comma after
    it. 'folder' means the folders of the images, 'none' no labels.

    OptionError if there is no such annotation or its values don't fit, DataError if some images lack them.
    """
    labels = labels.strip()
    if isinstance(dataset, LabelledImages):
        dataset = dataset.images
    if labels == dataset.labelled_by != "":
        return dataset
    unlabelled = dataset.unlabelled() if isinstance(dataset, _Unlabelled) else dataset
    if labels == NO_LABELS:
        return unlabelled if isinstance(dataset, _Unlabelled) else LabelledImages(dataset, "", Labels())
    annotations = unlabelled.annotations()
    names = _chosen_names(dataset, annotations, labels)
    found = _find_labels(unlabelled, annotations, labels, names)
    return LabelledImages(unlabelled, labels, found)


class LabelledImages(WrappedDataset):
    """The images of another data set with other labels."""

    def __init__(self, images: Dataset, labelled_by: str, labels: Labels) -> None:
        super().__init__(images, replace(images.info, domains=labels.domains, attributes=labels.attribute_names))
        self.labelled_by, self._chosen = labelled_by, labels
        self._labels = np.zeros(len(images), np.int64) if labels.labels is None else labels.labels

    def with_images(self, images: Dataset) -> Dataset:
        return LabelledImages(images, self.labelled_by, self._chosen)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        return self.images.load(index, size)[0], int(self._labels[index])

    def labels(self) -> np.ndarray:
        return self._labels.copy()

    def attributes(self) -> np.ndarray:
        values = self._chosen.attributes
        return Dataset.attributes(self) if values is None else values.copy()

    def validation(self) -> Dataset | None:
        images = self.images.validation()
        if images is None or not self.labelled_by:
            return None if images is None else LabelledImages(images, "", Labels())
        annotations, names = images.annotations(), self._chosen.names
        for name in names:
            if name not in annotations:
                raise DataError(f"{images.info.name}: no labels {printable(name)!r}, which the training images have.")
        columns = {name: annotations[name] for name in names}
        if all(value is None for values in columns.values() for value in values):
            return None  # such as the images of a test whose labels are secret
        found = _find_labels(images, columns, self.labelled_by, names, self._chosen)
        return LabelledImages(images, self.labelled_by, found)

    def fingerprint(self) -> str:
        found = hashlib.sha256(repr((self.images.fingerprint(), self.info)).encode())
        for values in (self._labels, self._chosen.attributes):
            found.update(b"" if values is None else values.tobytes())
        return found.hexdigest()


def describe_labels(dataset: Dataset) -> str | None:
    """Describe the labels of a data set, and the others that `--labels` accepts, in a line; None if there are none."""
    chosen = dataset.labelled_by
    try:
        names = [name for name in dataset.annotations() if name != chosen]
    except DataError as error:
        return f"other labels can't be read: {error}"
    others = listed(names, MAX_NAMES_SHOWN)
    if not chosen:
        return f"--labels accepts {others}" if names else None
    found = f"labels: {printable(chosen.rstrip(','))}"
    return f"{found}; --labels also accepts {others}" if names else found


def _names_of(labels: str, annotations: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the names that `labels` consists of. A single name may contain a comma."""
    if labels in annotations:
        return [labels]
    names = [name.strip() for name in labels.split(",")]
    return names[:-1] if len(names) > 1 and not names[-1] else names


def _chosen_names(dataset: Dataset, annotations: Mapping[str, Sequence[Any]], labels: str) -> list[str]:
    """Return the names of the chosen annotations. OptionError if one doesn't exist, or is named twice."""
    names, option = _names_of(labels, annotations), f"--labels {printable(labels)}"
    for index, name in enumerate(names):
        if name in names[:index]:
            raise OptionError(f"{option}: {name!r} is named twice.")
        if name == FOLDER and name not in annotations:
            raise OptionError(f"{option}: the images of {dataset.info.name} are not in folders that could be labels.")
        if name not in annotations:
            hint = did_you_mean(name, annotations)
            accepted = f"It accepts {listed([*annotations, NO_LABELS], MAX_NAMES_SHOWN)}."
            if dataset.format == "LMDB" and not {*annotations} - {dataset.labelled_by}:
                accepted += " If an earlier version of ganzoo prepared it, prepare it again to store other labels."
            raise OptionError(f"{option}: {dataset.info.name} has no labels {printable(name)!r}.{hint} {accepted}")
    return names


def _find_labels(
    dataset: Dataset,
    annotations: Mapping[str, Sequence[Any]],
    labels: str,
    names: Sequence[str],
    training: Labels | None = None,
) -> Labels:
    """Return the labels that these annotations give. Those of validation images have the names of the `training`
    images' labels."""
    columns = {name: _complete(dataset, annotations, name) for name in names}
    first = next(iter(columns.values()))
    wanted = bool(training.domains) if training else labels in columns and are_classes(first)
    if not wanted:
        return _attributes(dataset, labels, columns, training)
    values = uniform_labels(first)
    if training:
        return Labels(training.names, training.domains, labels_of_values(values, training.domains, dataset.describe))
    where = f"{dataset.info.name}: --labels {printable(labels)}"
    different = len({*values})
    if different > MAX_DOMAINS and all(map(is_number, first)):
        raise OptionError(
            f"{where}: {different:,} different numbers are too many for domains (at most {MAX_DOMAINS:,}). Add a "
            "comma after the name to use the numbers as an attribute."
        )
    domains = domains_of(values, where)
    return Labels(tuple(names), domains, labels_of_values(values, domains, dataset.describe))


def _complete(dataset: Dataset, annotations: Mapping[str, Sequence[Any]], name: str) -> list[Any]:
    """Return the values of an annotation. DataError if some images have none."""
    values = read_annotation(dataset, annotations, name)
    require_complete(values, name, dataset.info.name, dataset.describe)
    return values


def _attributes(dataset: Dataset, labels: str, columns: Mapping[str, Sequence[Any]], training: Labels | None) -> Labels:
    names, parts = list[str](), list[np.ndarray]()
    for name, values in columns.items():
        rows = as_rows(values)
        if rows is None:
            raise OptionError(f"--labels {printable(labels)}: {_reason_no_attribute(dataset, name, values)}")
        width = rows.shape[1]
        names += [printable(name)] if width == 1 else [f"{printable(name)}.{index}" for index in range(width)]
        parts.append(rows)
    if training and tuple(names) != training.attribute_names:
        raise DataError(
            f"{dataset.info.name}: its attributes ({listed(names)}) differ from those of the training images "
            f"({listed(training.attribute_names)})."
        )
    if len(names) > MAX_ATTRIBUTES:
        raise OptionError(f"--labels {printable(labels)}: {len(names):,} attributes; at most {MAX_ATTRIBUTES:,}.")
    return Labels(tuple(columns), attribute_names=tuple(names), attributes=np.concatenate(parts, 1))


def _reason_no_attribute(dataset: Dataset, name: str, values: Sequence[Any]) -> str:
    """Return why values can't be attributes, and what to do."""
    text = sorted({value for value in values if isinstance(value, str)})
    if text:
        return (
            f"the values of {printable(name)!r} are not numbers ({listed(text)}), so they can't be attributes. Choose "
            "it alone, for domains."
        )
    lengths = sorted({len(value) if isinstance(value, list) else 1 for value in values})
    if len(lengths) > 1 or lengths == [0]:
        found = ", ".join(map(str, lengths[:5]))
        return f"the lists of {printable(name)!r} differ in length ({found} numbers), so they can't be attributes."
    index = next(index for index, value in enumerate(values) if as_rows([value]) is None)
    return f"{printable(name)!r} of {dataset.describe(index)} is {shown(values[index])}, which is too large a number."
