"""The interface of an image storage: encoded image files, identified by keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ganzoo.data.pyramid import choose_size
from ganzoo.errors import DataError, format_count

MAX_FILE_BYTES = 256 << 20  # bytes per file: an uncompressed RGB image of Pillow's MAX_IMAGE_PIXELS

StorageT = TypeVar("StorageT", bound="Storage")


class Storage(ABC):
    """Images as encoded files, identified by keys in a fixed order, with the names of their domains and the label of
    each key (None: no domains).

    If every image is stored at several `sizes`, the keys are those of one `size`.
    """

    path: Path
    keys: list[str]
    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    attributes: np.ndarray | None = None  # float32 (N, A)
    metadata: dict[str, Any] = {}
    sizes: Sequence[int] = ()
    size: int | None = None
    notes: Sequence[str] = ()  # how the folders were interpreted, where that may surprise the user
    ignored_files: str | None = None  # how many other files were ignored
    archives: Sequence[str] = ()  # archives found among the images

    def files(self) -> Iterable[Path]:
        """Return the files on disk that contain the images."""
        return [self.path]

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes of one image file. Must be thread-safe; may raise any exception."""

    def names(self) -> list[str] | None:
        """Return the name of every image within its domain; None if the images have no names."""
        return None

    def at_size(self, size: int) -> Storage:
        """Return the same images at the stored size that fits `size` best; this storage itself if it has that size."""
        if not self.sizes or choose_size(size, self.sizes) == self.size:
            return self
        other = self._shallow_copy()
        other._select_size(size)
        return other

    def unlabelled(self: StorageT) -> StorageT:
        """Return the same images without domains."""
        other = self._shallow_copy()
        other.domains, other.labels = (), None
        return other

    def _shallow_copy(self: StorageT) -> StorageT:
        """Return a shallow copy. (`copy.copy` would call `__setstate__`, which reopens the file.)"""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @abstractmethod
    def validation(self) -> Storage | None:
        """Return the validation images, with the same domains; DataError if they don't fit the training images."""

    @abstractmethod
    def _select_size(self, size: int | None) -> None:
        """Switch `size` and `keys` to the stored size that `choose_size` chooses (None: the largest)."""


def check_size(size: int, limit: int = MAX_FILE_BYTES) -> None:
    """Raise ValueError if a file has more than `limit` bytes."""
    if size > limit:
        raise ValueError(f"{size:,} bytes; the limit is {limit:,}")


def match_validation(training: Storage, validation: Storage) -> None:
    """Give validation images, which have a storage of their own, the domains of the training images, in their order.
    DataError if they have other domains or attributes."""
    if not training.domains:
        validation.domains, validation.labels = (), None
    if validation.domains != training.domains:
        ours, theirs = (", ".join(names) or "none" for names in (training.domains, validation.domains))
        if {*validation.domains} - {*training.domains} or validation.labels is None:
            raise DataError(
                f"{validation.path}: its domains ({theirs}) differ from those of {training.path.name} ({ours})."
            )
        new_labels = np.array([training.domains.index(name) for name in validation.domains])
        validation.domains, validation.labels = training.domains, new_labels[validation.labels]
    if training.attributes is None:
        validation.attributes = None
    elif validation.attributes is None or validation.attributes.shape[1] != training.attributes.shape[1]:
        count = 0 if validation.attributes is None else validation.attributes.shape[1]
        raise DataError(
            f"{validation.path}: it has {format_count(count, 'attribute')}, but {training.path.name} has "
            f"{training.attributes.shape[1]}."
        )
