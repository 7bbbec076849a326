"""Convolutions and matrix products in bfloat16 on CPUs with AMX, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ganzoo import conv2d, conv_transpose2d, linear, pooled_conv2d, upsampled_conv2d
from ganzoo.backend import environment, operations
from tests.support.convolutions import Case, numpy_conv, numpy_gradients

pytestmark = pytest.mark.skipif(not environment.amx_available(), reason="this processor has no AMX")
L2_TOLERANCE = 5e-3  # of results whose factors are rounded to 8 bits
FLOAT32_TOLERANCE = 2e-5


@pytest.fixture(autouse=True)
def amp(jittor, monkeypatch):
    monkeypatch.setattr(operations, "autocast_enabled", True)


@st.composite
def cases(draw) -> Case:
    """Draw the sizes of a convolution of up to about 200 million products."""
    channels = st.sampled_from([1, 3, 16, 17, 31, 32, 40, 64, 96, 100, 128])
    kernel, stride, groups = draw(st.sampled_from([1, 2, 3, 4, 5, 7])), draw(st.sampled_from([1, 1, 2])), 1
    inputs, outputs = draw(channels), draw(channels)
    dilation = draw(st.sampled_from([1, 1, 1, 2]))
    if draw(st.integers(0, 7)) == 0:
        groups = 2
        inputs, outputs = 2 * inputs, 2 * outputs
    padding = draw(st.integers(0, kernel // 2))
    smallest = max(1, (kernel - 1) * dilation + 1 - 2 * padding)
    sides = st.integers(smallest, smallest + 20)
    case = Case(
        draw(st.integers(1, 5)),
        inputs,
        outputs,
        draw(sides),
        draw(sides),
        kernel,
        stride,
        padding,
        dilation,
        groups,
    )
    assume(case.batch * inputs * outputs * case.height * case.width * kernel**2 < 2e8)
    return case


def rounded(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return random float32 numbers that bfloat16 represents exactly."""
    bits = rng.standard_normal(shape).astype(np.float32).view(np.uint32) & 0xFFFF0000
    return bits.view(np.float32)


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the relative difference in the L2 norm."""
    assert np.isfinite(actual).all()
    return float(np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-30))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_exact_factors_give_float32_results(jittor, case, seed):
    """Only factors are rounded, so factors that bfloat16 represents exactly lose nothing."""
    rng = np.random.default_rng(seed)
    x = rounded(rng, case.batch, case.inputs, case.height, case.width)
    w = rounded(rng, case.outputs, case.inputs // case.groups, case.kernel, case.kernel)
    dy = rounded(rng, *numpy_conv(x, w, case).shape)
    X, W = jittor.array(x), jittor.array(w)
    y = conv2d(X, W, case.stride, case.padding, case.dilation, case.groups)
    dx, dw = jittor.grad((y * jittor.array(dy).stop_grad()).sum(), [X, W])
    assert error(y.numpy(), numpy_conv(x, w, case)) < FLOAT32_TOLERANCE
    for actual, expected in zip((dx, dw), numpy_gradients(x, w, dy, case)):
        assert error(actual.numpy(), expected) < FLOAT32_TOLERANCE


GEOMETRIES = {
    "512 channels, 3x3": Case(2, 512, 512, 8, 8, 3, 1, 1, 1, 1),
    "513 channels": Case(2, 513, 64, 4, 4, 3, 1, 1, 1, 1),
    "1x1": Case(2, 64, 128, 9, 7, 1, 1, 0, 1, 1),
    "4x4 of stride 2": Case(3, 64, 32, 10, 8, 4, 2, 1, 1, 1),
    "4x4 of stride 2, few channels": Case(3, 3, 64, 8, 8, 4, 2, 1, 1, 1),
    "whole image": Case(8, 64, 96, 4, 4, 4, 1, 0, 1, 1),
    "from RGB": Case(2, 3, 64, 12, 12, 3, 1, 1, 1, 1),
}


@pytest.mark.parametrize("case", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_values_and_derivatives_are_close_to_float64(jittor, case):
    """L = sum(y^2) / 2 and P = sum((dL/dx)^2) / 2 have the derivatives dL/dx = A'A x and dP/dx = A'A A'A x, where A is
    the matrix of the convolution."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.batch, case.inputs, case.height, case.width)).astype(np.float32)
    w = rng.standard_normal((case.outputs, case.inputs, case.kernel, case.kernel)).astype(np.float32)
    w /= np.sqrt(case.inputs * case.kernel**2)
    X, W = jittor.array(x), jittor.array(w)
    before = operations.counts().bfloat16
    y = conv2d(X, W, case.stride, case.padding)
    dx, dw = jittor.grad((y * y).sum() * 0.5, [X, W])
    ddx, ddw = jittor.grad((dx * dx).sum() * 0.5, [X, W])
    actual = [each.numpy() for each in (y, dx, dw, ddx, ddw)]
    assert operations.counts().bfloat16 >= before + 7
    expected_y = numpy_conv(x, w, case)
    expected_dx, expected_dw = numpy_gradients(x, w, expected_y, case)
    # dP/dw = d<g, dL/dx>/dw at g = dL/dx, where <g, dL/dx> = <A g, A x>.
    a_g = numpy_conv(expected_dx, w, case)
    expected_ddx, from_x = numpy_gradients(x, w, a_g, case)
    _, from_g = numpy_gradients(expected_dx, w, expected_y, case)
    expected = [expected_y, expected_dx, expected_dw, expected_ddx, from_x + from_g]
    errors = [error(a, e) for a, e in zip(actual, expected)]
    assert max(errors) < L2_TOLERANCE, errors


@pytest.mark.parametrize("size", [2, 4, 16])
@pytest.mark.parametrize("channels", [(32, 64), (96, 32), (40, 24), (256, 256)])
@pytest.mark.parametrize("function", [upsampled_conv2d, pooled_conv2d])
def test_resampling_convolutions_equal_their_parts_in_float32(jittor, function, channels, size):
    rng = np.random.default_rng(1)
    inputs, outputs = channels
    x, w = jittor.array(rounded(rng, 3, inputs, size, size)), jittor.array(rounded(rng, outputs, inputs, 3, 3))

    def results() -> list[np.ndarray]:
        y = function(x, w)
        dx, dw = jittor.grad((y * y).sum(), [x, w])
        ddw = jittor.grad((dx * dx).sum(), w)
        return [each.numpy() for each in (y, dx, dw, ddw)]

    actual = results()
    with operations.full_precision():
        expected = results()
    errors = [error(a, e) for a, e in zip(actual, expected)]
    assert max(errors) < L2_TOLERANCE, errors


@pytest.mark.parametrize("output_padding", [0, 1])
def test_transposed_convolutions_are_close_to_float32(jittor, output_padding):
    rng = np.random.default_rng(2)
    x, w = jittor.array(rounded(rng, 2, 64, 6, 6)), jittor.array(rounded(rng, 64, 32, 4, 4))
    actual = conv_transpose2d(x, w, 2, 1, output_padding).numpy()
    with operations.full_precision():
        expected = conv_transpose2d(x, w, 2, 1, output_padding).numpy()
    assert error(actual, expected) < FLOAT32_TOLERANCE


def test_a_repeated_convolution_gives_the_same_bits(jittor):
    rng = np.random.default_rng(3)
    x, w = (jittor.array(rng.standard_normal(shape).astype(np.float32)) for shape in ((4, 96, 17, 13), (80, 96, 3, 3)))
    once, again = ([y.numpy(), *(g.numpy() for g in jittor.grad(y, [x, w]))] for y in (conv2d(x, w) for _ in range(2)))
    for first, second in zip(once, again):
        np.testing.assert_array_equal(first, second)


def test_full_precision_rounds_nothing(jittor):
    x = jittor.array(np.full((1, 32, 5, 5), 1 + 2**-10, np.float32))
    w = jittor.array(np.eye(32, dtype=np.float32).reshape((32, 32, 1, 1)))
    np.testing.assert_array_equal(conv2d(x, w).numpy(), 1.0)
    with operations.full_precision():
        np.testing.assert_array_equal(conv2d(x, w).numpy(), x.numpy())


@pytest.mark.parametrize(("rows", "inner", "columns"), [(64, 784, 1024), (33, 100, 47), (8, 512, 512), (1000, 40, 90)])
def test_matrix_products_and_their_derivatives_are_close_to_float64(jittor, rows, inner, columns):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((rows, inner)).astype(np.float32)
    w = (rng.standard_normal((columns, inner)) / np.sqrt(inner)).astype(np.float32)
    X, W = jittor.array(x), jittor.array(w)
    y = linear(X, W)
    dx, dw = jittor.grad((y * y).sum() * 0.5, [X, W])
    ddw = jittor.grad((dx * dx).sum() * 0.5, W)
    exact_y = x.astype(np.float64) @ w.T
    exact_dx = exact_y @ w
    expected = [exact_y, exact_dx, exact_y.T @ x, exact_y.T @ exact_dx + (exact_dx @ w.T).T @ x]
    errors = [error(a.numpy(), e) for a, e in zip((y, dx, dw, ddw), expected)]
    assert max(errors) < L2_TOLERANCE, errors
    rounds = min(rows, inner, columns) >= 32
    assert (errors[0] > 1e-5) == rounds, errors  # small products stay in float32: bfloat16 is not faster
