"""Data sets whose images are made square in the way that the user chose."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganzoo.data.catalog import DescribedDataset
from ganzoo.data.images import fit_array
from ganzoo.data.labelling import LabelledImages
from ganzoo.data.storage import StoredImages
from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import FITS, Dataset


def with_fit(dataset: Dataset, fit: str, option: str = "") -> Dataset:
    """Return the same images, made square by `fit`: "crop", "pad" or "stretch" (see `DataInfo`). If they already are,
    return the data set itself.

    OptionError, naming the `option` ("": --fit), for another `fit`, or if the images were prepared as squares with
    another one.
    """
    option = option or f"--fit {fit}"
    if fit not in FITS:
        raise OptionError(f"{option}: expected one of {', '.join(FITS)}.")
    if isinstance(dataset, LabelledImages):
        return dataset.with_images(with_fit(dataset.images, fit, option))
    if isinstance(dataset, FittedImages):
        dataset = dataset.original
    stored = dataset.storage.fit if isinstance(dataset, StoredImages) else None
    if stored not in (None, fit):
        raise OptionError(
            f"{option}: {dataset.info.name} was prepared with --fit {stored}, so its images are squares already. "
            f"For --fit {fit}, prepare it again with `ganzoo data prepare --fit {fit}`."
        )
    if dataset.info.fit == fit:
        return dataset
    if not isinstance(dataset, (StoredImages, DescribedDataset)):
        return FittedImages(dataset, fit)
    other = copy.copy(dataset)  # it does what its info says
    other.info = replace(dataset.info, fit=fit)
    return other


class FittedImages(Dataset):
    """The images of another data set, made square by `fit`."""

    def __init__(self, original: Dataset, fit: str) -> None:
        self.original, self.info = original, replace(original.info, fit=fit)
        self.format, self.notes, self.ignored_files = original.format, original.notes, original.ignored_files
        self.labelled_by, self.has_alpha = original.labelled_by, original.has_alpha

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        image, label = self.original.load(index)
        return fit_array(image, size, fit=self.info.fit), label

    def labels(self) -> np.ndarray:
        return self.original.labels()

    def attributes(self) -> np.ndarray:
        return self.original.attributes()

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        return self.original.annotations()

    def names(self) -> Sequence[str]:
        return self.original.names()

    def validation(self) -> Dataset | None:
        images = self.original.validation()
        return None if images is None else with_fit(images, self.info.fit)

    def with_alpha(self) -> Dataset:
        return with_fit(self.original.with_alpha(), self.info.fit)

    def at_size(self, size: int) -> Dataset:
        images = self.original.at_size(size)
        return self if images is self.original else with_fit(images, self.info.fit)

    def shorter_sides(self, max_count: int) -> list[int]:
        return self.original.shorter_sides(max_count)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.original.fingerprint()} {self.info.fit}".encode()).hexdigest()

    def describe(self, index: int) -> str:
        return self.original.describe(index)
