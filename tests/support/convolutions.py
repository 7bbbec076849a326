"""3x3 convolutions with padding 1 in NumPy, in float64 if their arguments are: a reference for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

MAX_ERROR = 5e-6  # relative, in the L2 norm
SHAPES = st.tuples(*(st.integers(1, n) for n in (3, 70, 70, 5, 9)))  # images, channels, channels, tiles down and across


def assert_close(found: Any, expected: np.ndarray) -> None:
    assert tuple(found.shape) == expected.shape
    assert np.linalg.norm(found.numpy() - expected) <= MAX_ERROR * np.linalg.norm(expected)


def correlate(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolve x (N, C, H, W) with weight (K, C, 3, 3)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,kcij->nkhw", windows, weight, optimize=True)


def gradient_of_weight(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the gradient of the weight if that of the result is dy."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,nkhw->kcij", windows, dy, optimize=True)


def transposed(weight: np.ndarray) -> np.ndarray:
    """Return the weight for which `correlate` computes the gradient of x."""
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
