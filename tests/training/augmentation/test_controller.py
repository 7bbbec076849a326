from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.training.augmentation.controller import INTERVAL, Controller, adjusted


@given(st.integers(0, 1000), st.integers(-1000, 1000), st.integers(0, 10_000))
def test_p_moves_towards_the_target_and_stays_a_probability(p, r, images):
    p, r = p / 1000, r / 1000
    found = adjusted(p, r, 0.6, images)
    assert 0 <= found <= 1
    assert (found - p) * (r - 0.6) >= 0
    assert abs(found - p) <= images / 500_000 + 1e-12


def test_p_goes_from_0_to_1_in_500_kimg():
    p = 0.0
    for _ in range(500_000 // 256):
        assert p < 1
        p = adjusted(p, 0.9, 0.6, 256)
    assert p == pytest.approx(1, abs=256 / 500_000)


def test_p_is_adjusted_every_fourth_step_by_the_mean_sign(jittor):
    controller = Controller(0.6)
    finite = jittor.array(np.ones(1, np.float32))
    means = []
    for step in range(3 * INTERVAL):
        # 10 scores in each step: 9, 9 and 5 of them are positive.
        signs = 8 if step < 2 * INTERVAL else 0
        controller.add(*(jittor.array(np.full((1, 1), each, np.float32)) for each in (signs, 10)), finite)
        r = controller.end_step(step, 1000)
        assert (r is None) == (step % 4 != 3)
        means += [] if r is None else [(r, controller.p)]
    assert means == [(0.8, pytest.approx(0.008)), (0.8, pytest.approx(0.016)), (0.0, pytest.approx(0.008))]


def test_without_scores_p_stays(jittor):
    controller = Controller(0.6)
    controller.p = 0.3
    assert [controller.end_step(step, 8) for step in range(4)] == [None] * 4
    assert (controller.p, controller.state().images) == (0.3, 0)
