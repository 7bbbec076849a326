"""Compares distances with SciPy and plain NumPy in float64, closed forms, and special cases in the papers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.metrics.distances import frechet_distance, kernel_distance, moments, precision_recall

linalg = pytest.importorskip("scipy.linalg", reason="SciPy is in the extra 'dev'")


def features(seed: int, count: int = 300, width: int = 24, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Return correlated features, like those of networks."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width)) / width**0.5
    return (rng.normal(size=(count, width)) * scale @ mixing + shift).astype(np.float32)


def fid(rows: np.ndarray, others: np.ndarray) -> float:
    return frechet_distance(*moments(rows), *moments(others))


def test_moments_equal_numpys():
    rows = features(0, 2500)  # more than one block
    mean, covariance = moments(rows)
    assert np.allclose(mean, rows.mean(0, dtype=np.float64), rtol=1e-12, atol=1e-12)
    assert np.allclose(covariance, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("count", [300, 20], ids=["regular", "fewer images than features"])
def test_the_frechet_distance_agrees_with_scipys_matrix_square_root(count):
    rows, others = features(1, count), features(2, count, shift=0.3, scale=1.4)
    one, other = (np.cov(each.astype(np.float64), rowvar=False) for each in (rows, others))
    difference = rows.mean(0, dtype=np.float64) - others.mean(0, dtype=np.float64)
    root = linalg.sqrtm(one @ other).real
    expected = difference @ difference + np.trace(one + other - 2 * root)
    assert fid(rows, others) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_gaussians_with_diagonal_covariances():
    rng = np.random.default_rng(0)
    means, deviations = rng.normal(size=(2, 50)), rng.uniform(0.1, 3, (2, 50))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    found = frechet_distance(means[0], np.diag(deviations[0] ** 2), means[1], np.diag(deviations[1] ** 2))
    assert found == pytest.approx(expected, rel=1e-10)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(-3, 3, allow_subnormal=False))
def test_the_frechet_distance_is_symmetric_and_quadratic_in_a_shift(seed, count, shift):
    rows, others = features(seed, count), features(seed + 1, count, scale=0.7)
    assert fid(rows, others) == pytest.approx(fid(others, rows), rel=1e-6, abs=1e-4)
    assert abs(fid(rows, rows)) < 1e-3
    mean, covariance = moments(rows)
    assert frechet_distance(mean, covariance, mean + shift, covariance) == pytest.approx(24 * shift**2, abs=1e-4)


def plain_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate, computed pair by pair."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    within = [np.mean([kernel(a, b) for a, b in combinations(rows, 2)]) for rows in (x, y)]
    return float(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))


def test_the_frechet_distance_is_never_negative():
    for seed in range(20):
        rows = features(seed, 30, 40)
        assert frechet_distance(*moments(rows), *moments(rows[::-1])) >= 0


def test_one_row_has_a_mean_and_no_covariance():
    mean, covariance = moments(features(0, 1))
    assert np.isfinite(mean).all()
    assert not covariance.any()


def test_the_kernel_distance_is_the_unbiased_estimate():
    x, y = features(3, 40), features(4, 40, shift=0.2)
    mean, deviation = kernel_distance(x, y)  # every subset is the whole set
    assert mean == pytest.approx(plain_kid(x, y), rel=1e-4)
    assert deviation < 1e-12 + 1e-9 * abs(mean)


def test_the_kernel_distance_between_samples_of_one_distribution_is_zero_on_average():
    found = [kernel_distance(features(seed, 200), features(seed + 1000, 200), subsets=1)[0] for seed in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 60**0.5
    assert min(found) < 0 < max(found)
    assert kernel_distance(features(0), features(1, shift=0.5))[0] > 10 * max(found)


def test_subsets_of_the_kernel_distance_depend_on_the_seed():
    x, y = features(5), features(6)
    first = kernel_distance(x, y, subsets=7, size=50, seed=1)
    assert first == kernel_distance(x, y, subsets=7, size=50, seed=1)
    assert first != kernel_distance(x, y, subsets=7, size=50, seed=2)


def plain_precision(generated: np.ndarray, real: np.ndarray, k: int) -> float:
    inside = []
    for row in generated:
        reached = False
        for index, centre in enumerate(real):
            others = np.delete(real, index, 0)
            radius = np.sort(np.linalg.norm(others.astype("f8") - centre, axis=1))[k - 1]
            reached = reached or bool(np.linalg.norm(row.astype("f8") - centre) <= radius)
        inside.append(reached)
    return float(np.mean(inside))


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_count_rows_within_the_radii(k):
    generated, real = features(7, 60, 4, shift=0.4), features(8, 50, 4)
    found = precision_recall(generated, real, k)
    assert found == (plain_precision(generated, real, k), plain_precision(real, generated, k))
    assert 0 < found[0] < 1


def test_precision_and_recall_do_not_depend_on_the_block_size(monkeypatch):
    generated, real = features(7, 90, 6, shift=0.2), features(8, 70, 6)
    whole = precision_recall(generated, real)
    monkeypatch.setattr("ganzoo.metrics.distances.BLOCK", 17)
    assert precision_recall(generated, real) == whole


def test_precision_and_recall_of_special_sets():
    real = features(9, 200)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real + 100, real) == (0.0, 0.0)
    repeated = np.repeat(real[:1], 200, 0)  # a collapsed generator: realistic, but always the same
    precision, recall = precision_recall(repeated, real)
    assert precision == 1.0
    assert recall == 1 / 200
    wide = features(10, 200, scale=6.0)  # covers the real rows, but seldom looks real
    precision, recall = precision_recall(wide, real)
    assert precision < 0.2
    assert recall > 0.8
