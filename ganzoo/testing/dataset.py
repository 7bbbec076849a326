"""The part of the contract test about data sets, which stands by itself."""

from __future__ import annotations

import dataclasses

import numpy as np

from ganzoo.data.annotations import read_annotation
from ganzoo.data.attributes import read_attributes
from ganzoo.errors import DataError, OptionError, PluginError
from ganzoo.interfaces.dataset import Dataset
from ganzoo.testing.requirement import require

SAMPLE = 16  # images that are loaded


def check_dataset(dataset: Dataset) -> None:
    """Check what ganzoo expects of a data set: some of its images, its labels, attributes and annotations, at each
    stored size, with transparency if it has any, and of its validation images too. AssertionError if a check fails."""
    _check_images(dataset)
    if dataset.has_alpha:
        try:
            kept = dataset.with_alpha()
        except OptionError as error:
            raise AssertionError(f"{dataset.info.name} has `has_alpha`, but `with_alpha` fails: {error}") from error
        same = kept.info == dataclasses.replace(dataset.info, channels=4)
        require(same, f"`with_alpha` must only set `info.channels` to 4, but it gives {kept.info}.")
        _check_images(kept)
    labels, attributes = _check_descriptions(dataset)
    stored = dataset.at_size(max(1, dataset.info.size // 2))
    if stored is not dataset:
        other_labels, other_attributes = _check_descriptions(stored)
        same = len(stored) == len(dataset) and np.array_equal(other_labels, labels)
        if attributes is not None and other_attributes is not None:
            same = same and np.array_equal(other_attributes, attributes)
        same = same and stored.info.attributes == dataset.info.attributes
        require(same, "`at_size` gives a data set of other images, labels or attributes.")
    validation = dataset.validation()
    if validation is not None:
        names = dataset.info.domains, dataset.info.attributes
        require(
            (validation.info.domains, validation.info.attributes) == names,
            "the validation images have other domains or attributes than the training images.",
        )
        _check_images(validation)
        _check_descriptions(validation)


def _check_images(dataset: Dataset) -> None:
    """Check the shape, dtype and label of images all over the data set."""
    info, labels = dataset.info, dataset.labels()
    require(len(dataset) > 0, f"{info.name} has no images.")
    for index in range(0, len(dataset), -(-len(dataset) // SAMPLE)):
        image, label = dataset.load(index)
        what = dataset.describe(index)
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        valid = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
        valid = valid and image.shape[2] in (1, info.channels)
        require(valid, f"{what} must be an array uint8 (H, W, C) with C = 1 or {info.channels}, not {found}.")
        require(label == labels[index], f"{what} has the label {label}, but `labels` says {labels[index]}.")
        small, _ = dataset.load(index, 4)
        require(small.shape[:2] == (4, 4), f"{what} is not resized to 4 px: its shape is {small.shape}.")


def _check_descriptions(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the labels and attributes of all images, after checking their shape, dtype and values, and those of the
    annotations."""
    labels, count = dataset.labels(), max(1, len(dataset.info.domains))
    require(labels.shape == (len(dataset),), f"`labels` must return ({len(dataset)},) numbers, not {labels.shape}.")
    require(bool(np.all((labels >= -1) & (labels < count))), f"the labels must be in 0...{count - 1}.")
    try:
        annotations = dataset.annotations()
        for name in annotations:
            read_annotation(dataset, annotations, name)
        return labels, read_attributes(dataset)
    except (DataError, PluginError) as error:
        raise AssertionError(str(error)) from error
