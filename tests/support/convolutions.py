"""Convolutions in NumPy, a reference for tests: 3x3 ones with padding 1, in float64 if their arguments are, and others,
always in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from ganzoo import conv2d
from ganzoo.backend import operations

MAX_ERROR = 5e-6  # relative, in the L2 norm
SHAPES = st.tuples(*(st.integers(1, n) for n in (3, 70, 70, 5, 9)))  # images, channels, channels, tiles down and across


def assert_close(found: Any, expected: np.ndarray) -> None:
    assert tuple(found.shape) == expected.shape
    assert np.linalg.norm(found.numpy() - expected) <= MAX_ERROR * np.linalg.norm(expected)


def computed_since(before: operations.Counts) -> dict[str, int]:
    """Return how many convolutions each algorithm has computed since `operations.counts()` returned `before`."""
    found = {name: now - earlier for name, now, earlier in zip(before._fields, operations.counts(), before)}
    return {name: count for name, count in found.items() if count}


def correlate(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolve x (N, C, H, W) with weight (K, C, 3, 3)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,kcij->nkhw", windows, weight, optimize=True)


def gradient_of_weight(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the gradient of the weight if that of the result is dy."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,nkhw->kcij", windows, dy, optimize=True)


def transposed(weight: np.ndarray) -> np.ndarray:
    """Return the weight for which `correlate` computes the gradient of x."""
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


class Case(NamedTuple):
    """The sizes of a convolution."""

    batch: int
    inputs: int
    outputs: int
    height: int
    width: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    groups: int


def windows(x: np.ndarray, case: Case) -> np.ndarray:
    """Return the pixels under the kernel at each position, as (N, C, H', W', h, w)."""
    p, side = case.padding, (case.kernel - 1) * case.dilation + 1
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (p, p), (p, p)))
    found = sliding_window_view(padded, (side, side), (2, 3))
    return found[:, :, :: case.stride, :: case.stride, :: case.dilation, :: case.dilation]


def numpy_conv(x: np.ndarray, w: np.ndarray, case: Case) -> np.ndarray:
    parts = zip(np.split(windows(x, case), case.groups, 1), np.split(w.astype(np.float64), case.groups, 0))
    return np.concatenate([np.einsum("nchwij,kcij->nkhw", a, b, optimize=True) for a, b in parts], 1)


def numpy_gradients(x: np.ndarray, w: np.ndarray, dy: np.ndarray, case: Case) -> tuple[np.ndarray, np.ndarray]:
    dy, w = dy.astype(np.float64), w.astype(np.float64)
    dys = np.split(dy, case.groups, 1)
    parts = zip(np.split(windows(x, case), case.groups, 1), dys)
    dw = np.concatenate([np.einsum("nchwij,nkhw->kcij", a, b, optimize=True) for a, b in parts], 0)
    p, s, d = case.padding, case.stride, case.dilation
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
    height, width = dy.shape[2:]
    for i, j in np.ndindex(case.kernel, case.kernel):
        taps = [
            np.einsum("nkhw,kc->nchw", a, b[:, :, i, j], optimize=True)
            for a, b in zip(dys, np.split(w, case.groups, 0))
        ]
        dx[:, :, i * d : i * d + height * s : s, j * d : j * d + width * s : s] += np.concatenate(taps, 1)
    return dx[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw


def random_arrays(case: Case) -> list[np.ndarray]:
    """Return x, w and dy, and another x and w, the directions of second derivatives."""
    rng = np.random.default_rng(list(case))
    x = (case.batch, case.inputs, case.height, case.width)
    w = (case.outputs, case.inputs // case.groups, case.kernel, case.kernel)
    y = numpy_conv(np.zeros(x), np.zeros(w), case).shape
    return [rng.standard_normal(shape, dtype=np.float32) for shape in (x, w, y, x, w)]


def check_convolution(jt: Any, case: Case) -> dict[str, int]:
    """Compare a convolution, its gradients, and the gradients of <dx, a> + <dw, b> with respect to x, w and dy. Return
    how they were computed."""
    arrays = random_arrays(case)
    x, w, dy, a, b = map(jt.array, arrays)
    jt.sync_all()
    before = operations.counts()
    y = conv2d(x, w, case.stride, case.padding, case.dilation, case.groups)
    dx, dw = jt.grad((y * dy).sum(), [x, w])
    second = jt.grad((dx * a).sum() + (dw * b).sum(), [x, w, dy])
    jt.sync_all()

    x64, w64, dy64, a64, b64 = (array.astype(np.float64) for array in arrays)
    expected_dx, expected_dw = numpy_gradients(x64, w64, dy64, case)
    assert_close(y, numpy_conv(x64, w64, case))
    assert_close(dx, expected_dx)
    assert_close(dw, expected_dw)
    (from_b, _), (_, from_a) = numpy_gradients(x64, b64, dy64, case), numpy_gradients(a64, w64, dy64, case)
    expected = (from_b, from_a, numpy_conv(a64, w64, case) + numpy_conv(x64, b64, case))
    for found, wanted in zip(second, expected):
        assert_close(found, wanted)
    return computed_since(before)
