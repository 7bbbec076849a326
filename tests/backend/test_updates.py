"""Norms, Adam and EMA of many weights at once agree with NumPy, whether our own operations
or Jittor's compute them."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from ganzoo import backend
from ganzoo.backend import operations

pytestmark = pytest.mark.usefixtures("jittor")

# Small arrays that are updated together, one too large for that, and sizes around a thread's block of 16384 elements.
SHAPES = [(3,), (70, 50, 11), (1,), (1100, 1000), (16384,), (16385,), (5, 4, 3, 3)]


@pytest.fixture(params=[True, False], ids=["ours", "Jittor's"])
def updates(request, monkeypatch):
    from ganzoo.backend import updates

    if not request.param:
        monkeypatch.setattr(operations, "_operations", None)
    return updates


def random_arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in SHAPES]


def as_vars(arrays: list[np.ndarray]) -> list:
    variables = [ganzoo.jt.array(array).stop_grad() for array in arrays]
    backend.run_pending()
    return variables


def test_the_norm_covers_all_elements_of_all_arrays(updates):
    arrays = random_arrays(1)
    expected = np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays))
    assert updates.norm(as_vars(arrays)).item() == pytest.approx(expected, rel=1e-6 if operations.available() else 1e-4)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
def test_one_non_finite_number_makes_the_norm_non_finite(updates, number):
    arrays = random_arrays(1)
    arrays[3][1099, 999] = number
    norm = updates.norm(as_vars(arrays))
    assert backend.all_finite([norm]).item() == 0
    assert backend.all_finite(as_vars([np.ones(1, np.float32)])).item() == 1


def test_infinities_of_both_signs_are_not_finite(updates):
    assert backend.all_finite(as_vars([np.full(1, value, np.float32) for value in (np.inf, -np.inf)])).item() == 0


def test_ema_update_interpolates_each_pair(updates):
    old, new = random_arrays(1), random_arrays(2)
    averages = list(updates.ema_update(as_vars(old), as_vars(new), 0.25))
    assert len(averages) == len(SHAPES)
    for average, a, b in zip(averages, old, new):
        np.testing.assert_allclose(average.numpy(), a + 0.25 * (b - a), rtol=1e-5, atol=1e-6)


def test_adam_updates_each_weight_with_its_own_gradient_and_learning_rate(updates):
    weights, first, gradients = random_arrays(1), random_arrays(2), random_arrays(4)
    second = [array**2 for array in random_arrays(3)]
    scalars = np.array([[0.1 * (index + 1), 1e-3 * (index + 1)] for index in range(len(SHAPES))])
    settings = ganzoo.Adam(0.1, beta1=0.5, beta2=0.9, weight_decay=0.01)
    state = list(zip(as_vars(weights), as_vars(first), as_vars(second)))
    finite = ganzoo.jt.ones(1)
    updated = list(updates.adam(state, as_vars(gradients), scalars, finite, settings))
    assert len(updated) == len(SHAPES)
    for new, w, m, v, gradient, (rate, eps) in zip(updated, weights, first, second, gradients, scalars):
        decayed = gradient + 0.01 * w.astype(np.float64)
        new_m, new_v = 0.5 * m + 0.5 * decayed, 0.9 * v + 0.1 * decayed**2
        for var, expected in zip(new, (w - rate * new_m / (np.sqrt(new_v) + eps), new_m, new_v)):
            np.testing.assert_allclose(var.numpy(), expected, rtol=1e-4, atol=1e-5)
