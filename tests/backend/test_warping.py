from __future__ import annotations

import numpy as np

from ganzoo.backend.arrays import differentiable
from ganzoo.backend.warping import warp

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((2, 2, 5, 7)).astype(np.float32)
LOOKUP = RNG.uniform(-2, 2, (2, 2, 3))
MIX = RNG.standard_normal((2, 2, 2))
SIZE = (4, 6)


def interpolated(image: np.ndarray, a: float, b: float) -> float:
    """Return the value of a periodic image (A, B) between its pixels."""
    rows, columns = image.shape
    total = 0.0
    for row, row_weight in ((np.floor(a), 1 - a % 1), (np.floor(a) + 1, a % 1)):
        for column, weight in ((np.floor(b), 1 - b % 1), (np.floor(b) + 1, b % 1)):
            total += row_weight * weight * image[int(row) % rows, int(column) % columns]
    return total


def test_pixels_are_looked_up_interpolated_and_mixed(jittor):
    made = warp(jittor.array(IMAGES), LOOKUP, MIX, SIZE).numpy()
    for n, i, j in np.ndindex(2, *SIZE):
        a, b = LOOKUP[n] @ [i, j, 1]
        colours = [interpolated(channel.astype(np.float64), a, b) for channel in IMAGES[n]]
        np.testing.assert_allclose(made[n, :, i, j], MIX[n] @ colours, atol=1e-5)


def test_the_gradient_is_the_adjoint_and_its_gradient_the_warp_itself(jittor):
    images = differentiable(jittor.array(IMAGES))
    weights = RNG.standard_normal((2, 2, *SIZE)).astype(np.float32)
    leaf = differentiable(jittor.array(weights))
    gradient = jittor.grad((warp(images, LOOKUP, MIX, SIZE) * leaf).sum(), images)
    warped = warp(images, LOOKUP, MIX, SIZE).numpy()
    np.testing.assert_allclose((gradient.numpy() * IMAGES).sum(), (warped * weights).sum(), rtol=1e-4)
    again = jittor.grad((gradient * jittor.array(IMAGES)).sum(), leaf)
    np.testing.assert_allclose(again.numpy(), warped, atol=1e-5)
