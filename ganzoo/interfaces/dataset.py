"""The interface of a data set.

This module is imported for every `--help`, so it imports neither numpy nor Pillow.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.errors import DataError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class DataInfo:
    """Facts about a data set: `count` of its images (0: not known, as for an imported checkpoint), `size` is the side
    in px (the shorter one; the median of a sample, where they differ), `channels` is 1 (all grey) or 3 (RGB), `domains`
    names the labels (empty: no labels), `flip` says that a mirror image is a valid picture (not so for
    letters and digits)."""

    name: str
    count: int
    size: int
    channels: int
    domains: tuple[str, ...] = ()
    flip: bool = False


@dataclass(frozen=True)
class Draw:
    """How a model wants images drawn. By default each once per epoch.

    `references`: each image of a domain at random, whatever the domains' sizes, so that a batch may lack some; and
    beside it two others of one random domain. `crop` is how often such images are cropped at random, to 0.8 to 1 of
    their area, before they are scaled.
    """

    references: bool = False
    crop: float = 0.0


class Dataset(ABC):
    """Images by index. `load` is called from several threads at once; in `ganzoo data prepare` from several processes,
    if the data set can be pickled."""

    info: DataInfo
    notes: Sequence[str] = ()  # what a user should know of how its folders are read, a line each
    passed_over: str | None = None  # how many files beside its images are none, and of which kinds
    _labels_read: np.ndarray | None = None

    def __len__(self) -> int:
        return self.info.count

    @abstractmethod
    def load(self, index: int) -> tuple[np.ndarray, int]:
        """The image as uint8 (H, W, C) with C = 1 or 3, and its label (0 where there are no domains).

        Raises DataError, naming the file, if the image can't be read.
        """

    def labels(self) -> np.ndarray:
        """The label of every image, int (N,); zeros where there are no domains.

        Override it where labels are known without loading. This one loads every image, once, and says -1 for
        those that can't be read.
        """
        import numpy as np

        def label(index: int) -> int:
            try:
                return self.load(index)[1]
            except DataError:
                return -1

        if self._labels_read is None:
            known = map(label, range(len(self))) if self.info.domains else [0] * len(self)
            self._labels_read = np.fromiter(known, np.int64, len(self))
        return self._labels_read

    def validation(self) -> Dataset | None:
        """The images that are kept aside from training, if there are any: of the same size, channels and domains (in
        the same order; a domain may be without images there). DataError if they don't fit those for training."""
        return None

    def at_size(self, size: int) -> Dataset:
        """The same images, in the same order, as they are stored at the size nearest to `size` (not smaller, if there
        is one), where there are several; else this data set itself."""
        return self

    def sides(self, most: int) -> list[int]:
        """The shorter sides (px) of the images as they are stored, or of so many, spread over the set."""
        return [self.info.size]

    def fingerprint(self) -> str:
        """A text that changes when the images do, by which features of theirs are kept.

        Override it where that is known without loading. This one looks at every pixel.
        """
        found = hashlib.sha256(repr((type(self).__name__, self.info)).encode())
        for index in range(len(self)):
            try:
                image, label = self.load(index)
                found.update(repr((image.shape, label)).encode() + image.tobytes())
            except DataError:
                found.update(b"unreadable")
        return found.hexdigest()

    def describe(self, index: int) -> str:
        """Where image `index` comes from, for messages: a path or a key."""
        return f"image {index} of {self.info.name}"


class DataSource(ABC):
    """A data set that can be asked for by name. Register an instance through the hook `ganzoo_datasets`.

    `expected` describes what `open` prepares where nothing is ready: `ganzoo train --dry-run` takes it and prepares
    nothing. Its count may be approximate.

    With `archive`, the address of a zip, `ganzoo data download` puts that at NAME.zip in the data directory, if there
    are images in each of its `archive_folders` ('train/cat', whatever folder wraps all).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    expected: ClassVar[DataInfo | None] = None
    archive: ClassVar[str] = ""
    archive_folders: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def open(self) -> Dataset:
        """The data set, prepared first if need be. DataError says what is missing and how to get it."""

    def ready(self) -> bool:
        """Whether `open` would find everything in place, without preparing anything."""
        return True

    def from_files(self, files: Sequence[Path]) -> Dataset:
        """The data set, as it can be made from files that the user has; `ganzoo data prepare NAME --from FILE` stores
        it. For a set that may not be passed on, and that no folder of images is. DataError says what is wrong."""
        raise OptionError(f"--from: {self.name} is not made from files that you have. Leave --from out.")
