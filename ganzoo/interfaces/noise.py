"""Constant noise maps for style-based generators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SEED = 7


def constant_noise(sizes: Sequence[int], count: int) -> list[np.ndarray]:
    """Return a noise map (count, 1, side, side) for each side, the same for every image and every call."""
    maps = [np.random.default_rng([SEED, n]).standard_normal((1, 1, side, side), "f4") for n, side in enumerate(sizes)]
    return [np.repeat(each, count, 0) for each in maps]
