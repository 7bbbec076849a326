"""Data sets whose pixels are stored in one array, rather than an encoded file for each image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.images import crop_and_resize, to_image
from ganzoo.data.labels import domains_of, labels_of_values
from ganzoo.errors import DataError, format_count
from ganzoo.interfaces.dataset import DataInfo, Dataset


class ArrayImages(Dataset):
    """Images in an array uint8 (N, H, W, C), C = 1, 3 or 4, with a label for each (None: no domains).

    It is pickled by `reopen`, which opens the same data again, so that processes don't copy the array.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        images: np.ndarray,
        labels: np.ndarray | None,
        reopen: Callable[[], ArrayImages],
        notes: Sequence[str],
        validation: ArrayImages | None = None,
        *,
        labelled_by: str = "",
        labels_note: str = "",
        annotations: Callable[[], Mapping[str, Sequence[Any]]] = dict,
    ) -> None:
        """`labels_note` is the end of the note that says where the labels come from."""
        if not images.size:
            raise DataError(f"{path}: contains no images.")
        self.path, self._images, self._reopen, self._validation = path, images, reopen, validation
        self.notes, self._labels_note, self._annotations = notes, labels_note, annotations
        self.labelled_by = "" if labels is None else labelled_by
        values = None if labels is None else labels.tolist()
        domains = () if values is None else domains_of(values, str(path))
        self._labels = np.zeros(len(images), np.int64) if values is None else self._labels_among(values, domains)
        height, width, channels = images.shape[1:]
        self.has_alpha = channels == 4
        self.info = DataInfo(name, len(images), min(height, width), min(channels, 3), domains)
        if validation is not None:
            self._validation = validation._as_validation_of(self)

    def _as_validation_of(self, training: ArrayImages) -> ArrayImages:
        """Return these images with the labels of the training images. DataError if they don't fit these."""
        ours, theirs = self.info, training.info
        if ours.channels != theirs.channels:
            raise DataError(
                f"{self.path}: its validation images have {format_count(ours.channels, 'channel')}, but the training "
                f"images {theirs.channels}."
            )
        other = self._shallow_copy()
        if theirs.domains:
            values = [ours.domains[label] if ours.domains else None for label in self._labels]
            where = f"{self.path}: validation image"  # a .npz has both
            other._labels = labels_of_values(values, theirs.domains, lambda index: f"{where} {index}")
        else:
            other._labels = np.zeros(len(self), np.int64)
        other.notes, other.labelled_by = (), training.labelled_by
        other._reopen = partial(_validation_of, training._reopen)
        other.info = replace(ours, name=f"{theirs.name}-val", domains=theirs.domains, size=theirs.size)
        return other

    def _labels_among(self, values: Sequence[Any], domains: Sequence[str]) -> np.ndarray:
        return labels_of_values(values, domains, self.describe)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        pixels = np.ascontiguousarray(self._images[index])
        if pixels.shape[2] != self.info.channels:
            pixels = np.asarray(to_image(pixels, self.info.channels))
        return crop_and_resize(pixels, size), int(self._labels[index])

    def labels(self) -> np.ndarray:
        return self._labels.copy()

    def unlabelled(self) -> ArrayImages:
        """Return the same images without domains."""
        other = self._shallow_copy()
        other.info, other._labels, other.labelled_by = replace(self.info, domains=()), np.zeros(len(self), np.int64), ""
        other.notes = [note.removesuffix(self._labels_note) for note in self.notes]
        other._validation = self._validation and self._validation.unlabelled()
        return other

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        return self._annotations()

    def with_alpha(self) -> Dataset:
        return self._with_channels(4) if self.has_alpha else super().with_alpha()

    def _with_channels(self, channels: int) -> ArrayImages:
        """Return the same images with this number of channels."""
        if channels == self.info.channels:
            return self
        other = self._shallow_copy()
        other.info = replace(self.info, channels=channels)
        other._validation = self._validation and self._validation._with_channels(channels)
        return other

    def validation(self) -> Dataset | None:
        return self._validation

    def fingerprint(self) -> str:
        status = self.path.stat()
        found = self.info, str(self.path.resolve()), status.st_size, status.st_mtime_ns
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def describe(self, index: int) -> str:
        return f"{self.path}: image {index}"

    def _shallow_copy(self) -> ArrayImages:
        """Return a shallow copy. (`copy.copy` would open the file again.)"""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> Any:
        return _restore, (self._reopen, self.info)


def _restore(reopen: Callable[[], ArrayImages], info: DataInfo) -> ArrayImages:
    opened = reopen()
    other = (opened if info.domains else opened.unlabelled())._with_channels(info.channels)
    other.info = info
    return other


def _validation_of(reopen: Callable[[], ArrayImages]) -> ArrayImages:
    validation = reopen()._validation
    assert validation is not None
    return validation
