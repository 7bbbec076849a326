"""Norms, Adam and averages of many weights at once, by operations of our own and by Jittor's, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from ganzoo import backend
from ganzoo.backend import operations

pytestmark = pytest.mark.usefixtures("jittor")

# Small ones that are updated together, one that is too large for that, and more than one thread takes at once.
SHAPES = [(3,), (70, 50, 11), (1,), (1100, 1000), (16384,), (16385,), (5, 4, 3, 3)]


@pytest.fixture(params=[True, False], ids=["ours", "Jittor's"])
def updates(request, monkeypatch):
    from ganzoo.backend import updates

    if not request.param:
        monkeypatch.setattr(operations, "_operations", None)
    return updates


def drawn(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in SHAPES]


def on_device(arrays: list[np.ndarray]) -> list:
    made = [ganzoo.jt.array(array).stop_grad() for array in arrays]
    backend.run_pending()
    return made


def test_the_norm_is_that_of_all_numbers(updates):
    arrays = drawn(1)
    expected = np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays))
    assert updates.norm(on_device(arrays)).item() == pytest.approx(
        expected, rel=1e-6 if operations.available() else 1e-4
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
def test_one_non_finite_number_makes_the_norm_non_finite(updates, number):
    arrays = drawn(1)
    arrays[3][1099, 999] = number
    norm = updates.norm(on_device(arrays))
    assert backend.all_finite([norm]).item() == 0
    assert backend.all_finite(on_device([np.ones(1, np.float32)])).item() == 1


def test_infinities_of_both_signs_are_not_finite(updates):
    assert backend.all_finite(on_device([np.full(1, value, np.float32) for value in (np.inf, -np.inf)])).item() == 0


def test_ema_update_interpolates_each_pair(updates):
    old, new = drawn(1), drawn(2)
    found = list(updates.ema_update(on_device(old), on_device(new), 0.25))
    assert len(found) == len(SHAPES)
    for average, a, b in zip(found, old, new):
        np.testing.assert_allclose(average.numpy(), a + 0.25 * (b - a), rtol=1e-5, atol=1e-6)


def test_each_weight_is_updated_by_its_own_gradient_and_rate(updates):
    weights, first, gradients = drawn(1), drawn(2), drawn(4)
    second = [array**2 for array in drawn(3)]
    scalars = np.array([[0.1 * (index + 1), 1e-3 * (index + 1)] for index in range(len(SHAPES))])
    settings = ganzoo.Adam(0.1, beta1=0.5, beta2=0.9, weight_decay=0.01)
    state = list(zip(on_device(weights), on_device(first), on_device(second)))
    good = ganzoo.jt.ones(1)
    found = list(updates.adam(state, on_device(gradients), scalars, good, settings))
    assert len(found) == len(SHAPES)
    for three, w, m, v, gradient, (rate, eps) in zip(found, weights, first, second, gradients, scalars):
        slope = gradient + 0.01 * w.astype(np.float64)
        one, two = 0.5 * m + 0.5 * slope, 0.9 * v + 0.1 * slope**2
        for var, expected in zip(three, (w - rate * one / (np.sqrt(two) + eps), one, two)):
            np.testing.assert_allclose(var.numpy(), expected, rtol=1e-4, atol=1e-5)
