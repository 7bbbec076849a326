"""The interface of a data set. Storage (folder, zip, LMDB) and the loader are in this package's modules.

This module is imported for every `--help`, so it imports neither numpy nor Pillow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DataInfo:
    """Facts about a data set: `size` is the side in pixels (the shorter side of the first image), `channels` is 1
    (all grey) or 3 (RGB), `domains` names the labels (empty: no labels), `flip` says that a mirror image is a valid
    picture (not so for letters and digits)."""

    name: str
    count: int
    size: int
    channels: int
    domains: tuple[str, ...] = ()
    flip: bool = False


class Dataset(ABC):
    """Images by index. `load` is called from several threads at once; in `ganzoo data prepare` from several processes,
    if the data set can be pickled."""

    info: DataInfo

    def __len__(self) -> int:
        return self.info.count

    @abstractmethod
    def load(self, index: int) -> tuple[np.ndarray, int]:
        """The image as uint8 (H, W, C) with C = 1 or 3, and its label (0 where there are no domains).

        Raises DataError, naming the file, if the image can't be read.
        """

    def at_size(self, size: int) -> Dataset:
        """The same images, in the same order, as they are stored at the size nearest to `size` (not smaller, if there
        is one), where there are several; else this data set itself."""
        return self

    def describe(self, index: int) -> str:
        """Where image `index` comes from, for messages: a path or a key."""
        return f"image {index} of {self.info.name}"


class DataSource(ABC):
    """A data set that can be asked for by name. Register an instance through the hook `ganzoo_datasets`."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def open(self) -> Dataset:
        """The data set, prepared first if need be. DataError says what is missing and how to get it."""

    def ready(self) -> bool:
        """Whether `open` would find everything in place, without preparing anything."""
        return True
