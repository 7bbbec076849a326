"""Latents from seeds, and walks between latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

ROW_STREAM = 15  # of random numbers that choose attributes


def from_seeds(seeds: Sequence[int], length: int) -> np.ndarray:
    """Return a standard normal latent for each seed, (len(seeds), length), independent of the machine and of the other
    seeds."""
    drawn = [np.random.default_rng(seed).standard_normal(length, dtype=np.float32) for seed in seeds]
    return np.stack(drawn)


def attributes_from_seeds(seeds: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """Return the attributes of an image for each seed, (len(seeds), A): each seed chooses one of the rows (K, A),
    independently of the other seeds."""
    chosen = [np.random.default_rng([seed, ROW_STREAM]).integers(len(rows)) for seed in seeds]
    return rows[chosen]


def class_names(classes: int, domains: Sequence[str]) -> list[str]:
    """Return the names of a generator's classes: those of the data's domains, or numbers if they are something else."""
    return list(domains) if len(domains) == classes else [str(number) for number in range(classes)]


def lerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Interpolate linearly, at constant speed, between latents (..., length)."""
    return (1 - t) * start + t * end


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Interpolate spherically (Shoemake 1985) between latents (..., length), preserving the typical norm of Gaussian
    latents. It is linear if the angle between the latents is 0 or 180 degrees, or if one of them is zero."""
    norms = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
    cosine = (start * end).sum(-1, keepdims=True) / np.where(norms, norms, 1.0)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    straight = (norms == 0) | (np.sin(angle) < 1e-6)
    angle = np.where(straight, 1.0, angle)
    arc = np.sin((1 - t) * angle) / np.sin(angle) * start + np.sin(t * angle) / np.sin(angle) * end
    return np.where(straight, lerp(start, end, t), arc)


Interpolation = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


PATHS: dict[str, Interpolation] = {"linear": lerp, "spherical": slerp}


def loop(keys: np.ndarray, steps: int, path: Interpolation = slerp, centre: Any = 0.0) -> Iterator[np.ndarray]:
    """Yield a closed walk through keys (K, ..., length): `steps` points from each key to the next, and from the last
    key to the first.

    The K * steps points (..., length) have the dtype of the keys. Point i * steps is exactly key i. `centre` is the
    origin of spherical paths.
    """
    centred = keys.astype(np.float64) - centre  # float64, so that adding the centre restores float32 keys exactly
    for start, end in zip(centred, np.roll(centred, -1, axis=0)):
        for step in range(steps):
            yield (path(start, end, step / steps) + centre).astype(keys.dtype)
