"""Convolutions of few pixels match NumPy in float64: values, gradients, and gradients of a penalty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import conv_transpose2d
from ganzoo.backend import operations
from tests.support.convolutions import Case, assert_close, check_convolution, computed_since, numpy_gradients

MIN_WEIGHTS, MAX_PIXELS = 2**17, 256  # of im2col.cc


CASES = {
    "3x3": Case(2, 120, 128, 5, 7, 3, 1, 1, 1, 1),
    "whole image": Case(16, 100, 90, 4, 4, 4, 1, 0, 1, 1),
    "stride 2": Case(1, 96, 100, 11, 8, 4, 2, 1, 1, 1),
    "dilated": Case(2, 130, 120, 9, 9, 3, 1, 2, 2, 1),
    "padded by more than the kernel": Case(2, 130, 120, 3, 2, 3, 1, 4, 1, 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_few_pixels_are_products_of_matrices(jittor, case):
    assert check_convolution(jittor, case) == {"im2col": 7}


@pytest.mark.parametrize(
    "case",
    [Case(1, 120, 128, 18, 16, 3, 1, 1, 1, 1), Case(2, 60, 50, 4, 4, 3, 1, 1, 1, 1)],
    ids=["many pixels", "few weights"],
)
def test_other_convolutions_take_other_ways(jittor, case):
    assert "im2col" not in check_convolution(jittor, case)


@st.composite
def cases(draw) -> Case:
    """Draw the sizes of a convolution of few pixels with just enough weights."""
    kernel, stride, dilation = draw(st.integers(2, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding, batch, inputs = draw(st.integers(0, kernel)), draw(st.integers(1, 4)), draw(st.integers(40, 200))
    outputs = -(-MIN_WEIGHTS // (inputs * kernel**2)) + draw(st.integers(0, 20))
    extent = (kernel - 1) * dilation + 1
    most = int((MAX_PIXELS / batch) ** 0.5)
    height, width = (
        max(1, (draw(st.integers(1, most)) - 1) * stride + extent - 2 * padding + draw(st.integers(0, stride - 1)))
        for _ in range(2)
    )
    return Case(batch, inputs, outputs, height, width, kernel, stride, padding, dilation, 1)


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_any_geometry_works(jittor, case):
    assert check_convolution(jittor, case) == {"im2col": 7}


@pytest.mark.parametrize(("stride", "output_padding"), [(1, 0), (2, 0), (2, 1)])
def test_transposed_convolutions_work(jittor, stride, output_padding):
    """x is y of a convolution that has as many pixels."""
    x, w = (np.random.default_rng(0).standard_normal(s, dtype=np.float32) for s in ((2, 96, 5, 4), (96, 100, 4, 4)))
    sides = [(side - 1) * stride + 2 + output_padding for side in x.shape[2:]]
    case = Case(2, 100, 96, *sides, 4, stride, 1, 1, 1)
    before = operations.counts()
    found = conv_transpose2d(jittor.array(x), jittor.array(w), stride, 1, output_padding)
    expected, _ = numpy_gradients(np.zeros((2, 100, *sides)), w, x, case)
    assert_close(found, expected)
    assert computed_since(before) == {"im2col": 1}
