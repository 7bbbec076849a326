"""Sheets of a data set's images, as `ganzoo data show` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ganzoo.data.images import load_resized
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset
from ganzoo.sampling.sheets import add_labels, grid

COLUMNS = 8
ROWS = 4  # without domains
AUGMENTED_ROWS = 6
MAX_DOMAINS = 32  # rows on a sheet
MAX_SIZE = 128  # px; larger images are scaled down


def dataset_sheet(dataset: Dataset, size: int | None = None) -> np.ndarray:
    """Return a picture uint8 (H, W, C) of images from all over the data set: a row for each domain, with its name, or
    four rows without domains. With more than 32 domains, only the first ones are shown.

    Images have `size` px (None: their own, at most 128 px). Unreadable ones are left out.
    """
    domains, rows = dataset.info.domains[:MAX_DOMAINS], _groups(dataset)[:MAX_DOMAINS]
    dataset, size = _at_size(dataset, size)
    blank = np.full((size, size, dataset.info.channels), 255, np.uint8)
    cells: list[np.ndarray] = []
    for indices in rows:
        images = [image for image, _ in _spread(dataset, indices, COLUMNS, size)]
        cells += [*images, *[blank] * (COLUMNS - len(images))]
    return add_labels(grid(np.stack(cells), len(rows), COLUMNS), domains or [""] * len(rows))


def augmented_sheet(
    dataset: Dataset, augment: Callable[[np.ndarray], np.ndarray], size: int | None = None
) -> np.ndarray:
    """Return a picture uint8 (H, W, C) whose rows are an image, with the name of its domain, and augmented versions of
    it. `augment` maps images uint8 (N, H, W, C) to augmented ones. Images have `size` px, as in `dataset_sheet`."""
    dataset, size = _at_size(dataset, size)
    groups = _groups(dataset)
    parts = [
        np.array_split(groups[row * len(groups) // AUGMENTED_ROWS], AUGMENTED_ROWS)[row]
        for row in range(AUGMENTED_ROWS)
    ]
    found = [each for part in parts for each in _spread(dataset, part, 1, size)]
    if not found:
        raise DataError(f"{dataset.info.name}: none of its images can be read.")
    names = [dataset.info.domains[label] if dataset.info.domains else "" for _, label in found]
    originals = np.stack([image for image, _ in found])[:, None]
    versions = augment(originals.repeat(COLUMNS - 1, 1).reshape(-1, *originals.shape[2:]))
    rows = np.concatenate([originals, versions.reshape(len(found), COLUMNS - 1, *originals.shape[2:])], 1)
    return add_labels(grid(rows.reshape(-1, *rows.shape[2:]), len(found), COLUMNS), names)


def _groups(dataset: Dataset) -> list[np.ndarray]:
    """Return the indices of the images of each domain, or of each part of a set without domains."""
    labels = dataset.labels()
    if not dataset.info.domains:
        return np.array_split(np.arange(len(labels)), ROWS)
    return [np.flatnonzero(labels == label) for label in range(len(dataset.info.domains))]


def _at_size(dataset: Dataset, size: int | None) -> tuple[Dataset, int]:
    size = size or min(dataset.info.size, MAX_SIZE)
    return dataset.at_size(size), size


def _spread(dataset: Dataset, indices: np.ndarray, count: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield up to `count` readable images, with their labels, evenly spread over `indices`."""
    for part in np.array_split(indices, count):
        for index in part:
            try:
                yield load_resized(dataset, int(index), size, dataset.info.channels)
                break
            except DataError:
                continue
