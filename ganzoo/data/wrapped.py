"""The base of data sets that change the labels or the shape of another's images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.interfaces.dataset import DataInfo, Dataset


class WrappedDataset(Dataset):
    """The images of another data set. A subclass overrides what it changes."""

    def __init__(self, images: Dataset, info: DataInfo) -> None:
        self.images, self.info = images, info
        self.format, self.notes, self.ignored_files = images.format, images.notes, images.ignored_files
        self.labelled_by, self.has_alpha = images.labelled_by, images.has_alpha
        self.path = getattr(images, "path", None)

    @abstractmethod
    def with_images(self, images: Dataset) -> Dataset:
        """Return another version of the same images, with the same changes."""

    def labels(self) -> np.ndarray:
        return self.images.labels()

    def attributes(self) -> np.ndarray:
        return self.images.attributes()

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        return self.images.annotations()

    def names(self) -> Sequence[str]:
        return self.images.names()

    def with_alpha(self) -> Dataset:
        return self.with_images(self.images.with_alpha())

    def at_size(self, size: int) -> Dataset:
        images = self.images.at_size(size)
        return self if images is self.images else self.with_images(images)

    def shorter_sides(self, max_count: int) -> list[int]:
        return self.images.shorter_sides(max_count)

    def describe(self, index: int) -> str:
        return self.images.describe(index)
