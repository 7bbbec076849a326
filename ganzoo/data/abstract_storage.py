"""The interface of an image storage: encoded image files, identified by keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ganzoo.data.pyramid import choose_size
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import FITS

MAX_FILE_BYTES = 256 << 20  # bytes per file: an uncompressed RGB image of Pillow's MAX_IMAGE_PIXELS

StorageT = TypeVar("StorageT", bound="Storage")


class Storage(ABC):
    """Images as encoded files, identified by keys in a fixed order, with the names of their domains and the label of
    each key (None: no domains).

    If every image is stored at several `sizes`, the keys are those of one `size`.
    """

    format: ClassVar[str] = ""  # in words; '' if a note says it
    path: Path
    keys: list[str]
    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    attributes: np.ndarray | None = None  # float32 (N, A)
    attribute_names: tuple[str, ...] = ()
    labelled_by: str = ""  # name of the annotation that gives the labels or attributes
    labels_note: str = ""  # where the labels come from: one of the notes, or the end of one
    metadata: dict[str, Any] = {}
    sizes: Sequence[int] = ()
    size: int | None = None
    fit: str | None = None  # how the images were made square when they were stored (None: unknown, or they weren't)
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

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        """Return what is known of every image, by name (see `Dataset.annotations`). DataError if it can't be read."""
        return {}

    def at_size(self, size: int) -> Storage:
        """Return the same images at the stored size that fits `size` best; this storage itself if it has that size."""
        if not self.sizes or choose_size(size, self.sizes) == self.size:
            return self
        other = self._shallow_copy()
        other._select_size(size)
        return other

    def unlabelled(self: StorageT) -> StorageT:
        """Return the same images without domains and attributes."""
        other = self._shallow_copy()
        other.domains, other.labels, other.attribute_names, other.attributes = (), None, (), None
        notes = [note for note in self.notes if note != self.labels_note]
        other.notes = [note.removesuffix(f", {self.labels_note}") for note in notes] if self.labels_note else notes
        other.labelled_by = other.labels_note = ""
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


def stored_fit(metadata: Mapping[str, Any], prepared: bool) -> str | None:
    """Return how images were made square when ganzoo `prepared` them, by its metadata; None if it did not prepare them.
    ValueError if that is unknown."""
    fit = metadata.get("fit", "crop" if prepared else None)
    if fit not in (None, *FITS):
        raise ValueError(f"'fit' is {fit!r}, which is none of {', '.join(FITS)}")
    return fit


def match_validation(training: Storage, validation: Storage) -> None:
    """Give validation images, which have a storage of their own, the domains of the training images, in their order.
    DataError if they have other domains or attributes, or were made square in another way."""
    if not training.domains:
        validation.domains, validation.labels = (), None
    if not training.attribute_names:
        validation.attribute_names, validation.attributes = (), None
    if validation.attribute_names != training.attribute_names:
        ours, theirs = (", ".join(each.attribute_names) or "none" for each in (training, validation))
        raise DataError(
            f"{validation.path}: its attributes ({theirs}) differ from those of {training.path.name} ({ours})."
        )
    if validation.domains != training.domains:
        ours, theirs = (", ".join(names) or "none" for names in (training.domains, validation.domains))
        if {*validation.domains} - {*training.domains} or validation.labels is None:
            raise DataError(
                f"{validation.path}: its domains ({theirs}) differ from those of {training.path.name} ({ours})."
            )
        new_labels = np.array([training.domains.index(name) for name in validation.domains])
        validation.domains, validation.labels = training.domains, new_labels[validation.labels]
    ours, theirs = (each.fit or "crop" for each in (training, validation))
    if ours != theirs:
        raise DataError(
            f"{validation.path}: its images were prepared with --fit {theirs}, but those of {training.path.name} with "
            f"--fit {ours}. Prepare both together."
        )
    validation.labelled_by = training.labelled_by
