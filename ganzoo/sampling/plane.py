"""The plane of seeds: the point (x, y) shows seed x + 100 y if both are whole, and a mixture of its neighbours if not.

The interpolation is bilinear: in w, linear; in z, along great arcs, which keep the typical norm of a latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ganzoo.sampling.request import Point

ROW = 100  # difference between the seeds of neighbouring rows
Place = int | Point  # a seed, or a point of the plane


def seed_at(x: int, y: int) -> int:
    """Return the seed of a whole point."""
    return x + ROW * y


def seed_near(place: Place) -> int:
    """Return the seed, or that of the nearest whole point: random noise depends on it."""
    return seed_at(math.floor(place[0] + 0.5), math.floor(place[1] + 0.5)) if isinstance(place, tuple) else place


def place_name(place: Place) -> str:
    """Return a name for files: 'seed0007' or 'at3.5,0.25'."""
    return f"at{place[0]:.12g},{place[1]:.12g}" if isinstance(place, tuple) else f"seed{place:04d}"


def code_at(sampler: Any, point: Point, code_of: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return the code of a point, mixed from those of up to four seeds, which `code_of` returns. A whole point has
    exactly the code of its seed."""
    (x, across), (y, down) = ((math.floor(value), value - math.floor(value)) for value in point)
    rows = [
        _between(sampler, [code_of(seed_at(x + step, row)) for step in range(2 if across else 1)], across)
        for row in range(y, y + (2 if down else 1))
    ]
    return _between(sampler, rows, down)


def _between(sampler: Any, codes: list[np.ndarray], fraction: float) -> np.ndarray:
    mixed: np.ndarray = codes[0] if len(codes) == 1 else sampler.between(*codes, fraction)
    return mixed
