"""Distances between sets of features, in float64: FID, KID, improved precision and recall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

SUBSET = 1000  # rows in each subset of KID
BLOCK = 1000  # rows processed at once: their distances to 50,000 others take 400 MB
ProgressBar = Callable[[Iterable[int]], Iterable[int]]  # yields the same numbers, and shows how many are left


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (D,) and unbiased covariance (D, D) of features (N, D). The covariance is zero if N is 1."""
    mean = np.zeros(rows.shape[1])
    for block in _blocks(rows):
        mean += block.sum(0)
    mean /= len(rows)
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    for block in _blocks(rows):
        centred = block - mean
        covariance += centred.T @ centred
    return mean, covariance / max(1, len(rows) - 1)


def frechet_distance(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """Return the squared 2-Wasserstein distance between two Gaussians, |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)).

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, section 3 (FID). The trace of the root equals
    that of the symmetric (S^(1/2) S' S^(1/2))^(1/2), whose eigenvalues are real even if the covariances are singular.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    squares = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(np.maximum(squares, 0)).sum()
    difference = mean - other_mean
    return max(0.0, float(difference @ difference + trace))  # rounding can make the distance of equal sets negative


def kernel_distance(
    rows: np.ndarray, others: np.ndarray, subsets: int = 100, size: int = SUBSET, seed: int = 0
) -> tuple[float, float]:
    """Return the mean and standard deviation of KID over random subsets of at most `size` rows of each set.

    KID is the unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (Binkowski et al., Demystifying
    MMD GANs, 2018, section 4). It is near 0, and may be negative, if both sets come from the same distribution.
    """
    rng = np.random.default_rng(seed)
    size = min(size, len(rows), len(others))
    estimates = []
    for _ in range(subsets):
        x = rows[rng.choice(len(rows), size, replace=False)].astype(np.float64)
        y = others[rng.choice(len(others), size, replace=False)].astype(np.float64)
        estimates.append(_mmd2(x, y))
    return float(np.mean(estimates)), float(np.std(estimates))


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy."""
    width, count = x.shape[1], len(x)
    xx, yy, xy = ((a @ b.T / width + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (count * (count - 1))
    return float(within - 2 * xy.mean())


def precision_recall(
    generated: np.ndarray, real: np.ndarray, neighbours: int = 3, progress: ProgressBar = iter
) -> tuple[float, float]:
    """Return improved precision, the fraction of generated rows in the manifold of the real ones, and recall, the
    reverse. A manifold is the union of balls around the rows, each reaching to the row's k-th nearest neighbour.

    Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019, section 2.
    """
    generated_radii, real_radii = (_knn_radii(rows, neighbours, progress) for rows in (generated, real))
    precise, recalled = np.zeros(len(generated), bool), np.zeros(len(real), bool)
    for start in progress(range(0, len(generated), BLOCK)):
        block = slice(start, start + BLOCK)
        distances = _distances(generated[block], real)
        precise[block] = (distances <= real_radii).any(1)
        recalled |= (distances <= generated_radii[block, None]).any(0)
    return float(precise.mean()), float(recalled.mean())


def _knn_radii(rows: np.ndarray, neighbours: int, progress: ProgressBar) -> np.ndarray:
    """Return the squared distance from each row to its k-th nearest neighbour, not counting the row itself."""
    radii = [
        np.partition(_distances(rows[start : start + BLOCK], rows), neighbours, axis=1)[:, neighbours]
        for start in progress(range(0, len(rows), BLOCK))
    ]
    return np.concatenate(radii)


def _distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return squared distances (N, M). Mere rounding errors are set to 0, so that equal rows have distance 0."""
    rows, others = rows.astype(np.float64), others.astype(np.float64)
    sizes = (rows**2).sum(1)[:, None] + (others**2).sum(1)
    distances: np.ndarray = sizes - 2 * rows @ others.T
    distances[distances < 1e-12 * sizes] = 0
    return distances


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK].astype(np.float64)
