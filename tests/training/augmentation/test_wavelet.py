from __future__ import annotations

import numpy as np
import pytest

from ganzoo.training.augmentation import wavelet


def test_the_filter_is_the_orthonormal_one_with_six_vanishing_moments():
    """These 12 equations determine it, except for the choice of the least asymmetric root."""
    taps = wavelet.SYM6
    assert taps.sum() == pytest.approx(np.sqrt(2), abs=1e-9)
    shifts = [np.dot(taps[2 * shift :], taps[: len(taps) - 2 * shift]) for shift in range(6)]
    np.testing.assert_allclose(shifts, [1, 0, 0, 0, 0, 0], atol=1e-9)
    places = np.arange(12) - 5.5
    moments = [((-1.0) ** np.arange(12) * taps * places**power).sum() for power in range(6)]
    np.testing.assert_allclose(moments, 0, atol=1e-6)


@pytest.mark.parametrize("side", [8, 15, 28])
def test_halving_undoes_doubling(side):
    period = wavelet.doubling(side)
    samples = np.arange(-wavelet.FIRST, 2 * side + wavelet.MARGIN - wavelet.FIRST) % len(period)
    np.testing.assert_allclose(wavelet.halving(side) @ period[samples], np.eye(side), atol=1e-9)


def test_doubling_keeps_a_constant():
    np.testing.assert_allclose(wavelet.doubling(9).sum(1), 1, atol=1e-9)
