"""Data sets whose images are made square in the way that the user chose."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import numpy as np

from ganzoo.data.catalog import DescribedDataset
from ganzoo.data.images import fit_array
from ganzoo.data.labelling import LabelledImages
from ganzoo.data.storage import StoredImages
from ganzoo.data.wrapped import WrappedDataset
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
        dataset = dataset.images
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


class FittedImages(WrappedDataset):
    """The images of another data set, made square by `fit`."""

    def __init__(self, images: Dataset, fit: str) -> None:
        super().__init__(images, replace(images.info, fit=fit))

    def with_images(self, images: Dataset) -> Dataset:
        return with_fit(images, self.info.fit)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        image, label = self.images.load(index)
        return fit_array(image, size, self.info.channels, fit=self.info.fit), label

    def validation(self) -> Dataset | None:
        images = self.images.validation()
        return None if images is None else self.with_images(images)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.images.fingerprint()} {self.info.fit}".encode()).hexdigest()
