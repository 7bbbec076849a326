"""Convolutions that double or halve an image match NumPy in float64: values, gradients, and gradients of a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from ganzoo import pooled_conv2d, pooled_conv_transpose2d, upsampled_conv2d
from ganzoo.backend import operations, resampling
from tests.support.convolutions import SHAPES, assert_close, computed_since, correlate, gradient_of_weight, transposed

FUNCTIONS = {function.__name__: function for function in (upsampled_conv2d, pooled_conv2d, pooled_conv_transpose2d)}


def double(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, 2).repeat(2, 3)


def halve(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


# Each function, and the gradients of its arguments for an upstream gradient dy.
EXPECTED: dict[str, tuple[Any, Any, Any]] = {
    "upsampled_conv2d": (
        lambda x, w: correlate(double(x), w),
        lambda dy, w: 4 * halve(correlate(dy, transposed(w))),
        lambda x, dy: gradient_of_weight(double(x), dy),
    ),
    "pooled_conv2d": (
        lambda x, w: halve(correlate(x, w)),
        lambda dy, w: correlate(double(dy), transposed(w)) / 4,
        lambda x, dy: gradient_of_weight(x, double(dy)) / 4,
    ),
    "pooled_conv_transpose2d": (
        lambda x, w: correlate(double(x), transposed(w)) / 4,
        lambda dy, w: halve(correlate(dy, w)),
        lambda x, dy: gradient_of_weight(dy, double(x)) / 4,
    ),
}


def inputs_for(name: str, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Random images, weights and upstream gradient, for large images of 4 px per tile."""
    n, inputs, outputs, height, width = shape
    rng = np.random.default_rng(list(shape))
    small, large = (2 * height, 2 * width), (4 * height, 4 * width)
    sides = (large, small) if name == "pooled_conv2d" else (small, large)
    channels = (inputs, outputs) if name == "pooled_conv_transpose2d" else (outputs, inputs)
    shapes = ((n, inputs, *sides[0]), (*channels, 3, 3), (n, outputs, *sides[1]))
    return [rng.standard_normal(each, dtype=np.float32) for each in shapes]


def check(jt: Any, name: str, shape: tuple[int, ...]) -> None:
    """Compare a convolution, its gradients, and the gradients of <dx, a> + <dw, b> with respect to x, w and dy."""
    arrays = inputs_for(name, shape)
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(array.shape, dtype=np.float32) for array in arrays[:2])
    x, w, dy, *directions = (jt.array(array) for array in (*arrays, a, b))
    jt.sync_all()
    y = FUNCTIONS[name](x, w)
    dx, dw = jt.grad((y * dy).sum(), [x, w])
    second = jt.grad((dx * directions[0]).sum() + (dw * directions[1]).sum(), [x, w, dy])
    jt.sync_all()

    forward, to_x, to_w = EXPECTED[name]
    x64, w64, dy64, a64, b64 = (array.astype(np.float64) for array in (*arrays, a, b))
    assert_close(y, forward(x64, w64))
    assert_close(dx, to_x(dy64, w64))
    assert_close(dw, to_w(x64, dy64))
    for found, expected in zip(second, (to_x(dy64, b64), to_w(a64, dy64), forward(a64, w64) + forward(x64, b64))):
        assert_close(found, expected)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "shape",
    [(2, 64, 80, 2, 3), (1, 130, 64, 1, 1), (3, 64, 64, 16, 8), (70, 64, 65, 2, 2), (1, 256, 320, 6, 6)],
    ids=["few tiles", "one tile", "wide images", "many images", "many channels"],
)
def test_convolutions_match_numpy(jittor, name, shape):
    before = operations.counts()
    check(jittor, name, shape)
    assert computed_since(before) == {"doubled": 7}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(2, 130, 120, 2, 1), (1, 125, 128, 1, 2)], ids=["two images", "wide image"])
def test_few_pixels_are_products_of_matrices(jittor, name, shape):
    before = operations.counts()
    check(jittor, name, shape)
    assert computed_since(before) == {"im2col": 7}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES)
def test_any_number_of_channels_and_tiles_works(jittor, name, shape):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "_MIN_CHANNELS", 1)
        check(jittor, name, shape)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("channels", [4, 300])
def test_other_convolutions_match_numpy(jittor, name, channels, monkeypatch):
    """Those with few channels, and all if our operations are not available, as on a GPU, take other ways."""
    before = operations.counts().doubled
    monkeypatch.setattr(resampling.operations, "widens_kernels", lambda weight, sides: False)
    check(jittor, name, (2, channels, channels + 3, 2, 1))
    monkeypatch.setattr(operations, "_operations", None)
    check(jittor, name, (2, channels, channels + 3, 2, 1))
    assert operations.counts().doubled == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sides_that_do_not_fit_are_computed_in_another_way(jittor, name):
    """Tiles are 4x4 px of the larger images; these have 6x10 px."""
    n, c = 2, 64
    rng = np.random.default_rng(2)
    sides = (6, 10) if name == "pooled_conv2d" else (3, 5)
    x, w = rng.standard_normal((n, c, *sides), dtype=np.float32), rng.standard_normal((c, c, 3, 3), dtype=np.float32)
    before = operations.counts().doubled
    y = FUNCTIONS[name](jittor.array(x), jittor.array(w))
    assert_close(y, EXPECTED[name][0](x.astype(np.float64), w.astype(np.float64)))
    assert operations.counts().doubled == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_have_the_same_bits_each_time(jittor, name):
    x, w, _ = (jittor.array(array) for array in inputs_for(name, (9, 100, 70, 8, 8)))
    jittor.sync_all()
    first, second = (FUNCTIONS[name](x, w).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
