"""The attributes of a data set's images: numbers that describe each of them."""

from __future__ import annotations

import numpy as np

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset

MAX_ROWS = 256  # images whose attributes are stored in checkpoints


def read_attributes(dataset: Dataset) -> np.ndarray | None:
    """Return the attributes of every image, float32 (N, A); None if the data set has none. DataError or PluginError if
    the data set gives something else."""
    names, who = dataset.info.attributes, dataset.info.name
    if not names:
        return None
    values = dataset.attributes()
    expected = len(dataset), len(names)
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != expected:
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise DataError(f"{who}: `attributes` must return an array float32 {expected}, not {found}.")
    if not np.isfinite(values).all():
        image, attribute = (int(each) for each in np.argwhere(~np.isfinite(values))[0])
        raise DataError(
            f"{who}: the attribute {names[attribute]!r} of {dataset.describe(image)} is {values[image, attribute]}, "
            "but must be a finite number."
        )
    return values


def sample_attributes(dataset: Dataset) -> np.ndarray | None:
    """Return the attributes of up to MAX_ROWS images, evenly spaced over the data set, float32 (K, A); None if it has
    none. Errors are those of `read_attributes`."""
    values = read_attributes(dataset)
    if values is None:
        return None
    count = min(len(values), MAX_ROWS)
    return values[np.arange(count) * len(values) // count]
