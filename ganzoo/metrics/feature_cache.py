"""Features of real images, cached on disk because they are the same in every evaluation."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ganzoo.files import atomic_write, data_dir
from ganzoo.metrics.distances import moments
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.sources import DatasetSource


@dataclass(frozen=True, eq=False)
class Features:
    """Features float32 (N, D) of a set of images."""

    rows: np.ndarray

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D) of the features, float64."""
        return moments(self.rows)


def folder() -> Path:
    """Return the folder of cached features."""
    return data_dir() / "features"


def key(images: DatasetSource, extractor: FeatureExtractor) -> str:
    """Return a cache key that changes with the images, their selection and scaling, and the network."""
    data = images.data
    described = {
        "images": images.dataset.fingerprint(),
        "chosen": hashlib.sha256(images.indices.astype("<i8").tobytes()).hexdigest(),
        "size": data.size,
        "channels": data.channels,
        "decoding": 2,  # version; increase it when the same files decode to different pixels
        "network": extractor.weights.recipe(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


def features(images: DatasetSource, extractor: FeatureExtractor, compute: Callable[[], np.ndarray]) -> Features:
    """Return the features of real images from the cache, or `compute` and cache them. A damaged file is replaced;
    features that can't be written are computed again next time."""
    path = folder() / f"{key(images, extractor)}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(path) as stored:
        found = Features(stored["rows"])
        if found.rows.ndim == 2 and found.rows.shape[1] == extractor.width and found.rows.dtype == np.float32:
            found.__dict__["moments"] = stored["mean"], stored["covariance"]
            return found
    found = Features(compute())
    content = io.BytesIO()
    mean, covariance = found.moments
    np.savez(content, rows=found.rows, mean=mean, covariance=covariance)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content.getvalue())
    return found
