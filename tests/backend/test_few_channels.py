"""Convolutions from or to few channels match NumPy in float64: values, gradients, and gradients of a penalty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import conv_transpose2d
from ganzoo.backend import operations
from tests.support.convolutions import (
    Case,
    assert_close,
    check_convolution,
    computed_since,
    numpy_conv,
    numpy_gradients,
    random_arrays,
)
from tests.support.processor import HAS_AVX512

WIDTH = 16 if HAS_AVX512 else 8  # of few_channels.cc


@pytest.mark.parametrize(
    "case",
    [
        Case(3, 64, 3, 32, 32, 3, 1, 1, 1, 1),
        Case(2, 3, 40, 20, 64, 3, 1, 1, 1, 1),
        Case(1, 16, 1, 1, 16, 3, 1, 1, 1, 1),
        Case(5, 4, 17, 33, 16, 3, 1, 1, 1, 1),
    ],
    ids=["to RGB", "from RGB", "a line of grey", "several blocks of rows"],
)
def test_convolutions_match_numpy(jittor, case):
    assert check_convolution(jittor, case) == {"few_channels": 7}


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    few=st.integers(1, 4),
    many=st.integers(16, 40),
    height=st.integers(1, 40),
    width=st.integers(1, 9),
    to_few=st.booleans(),
)
def test_any_size_works(jittor, batch, few, many, height, width, to_few):
    inputs, outputs = (many, few) if to_few else (few, many)
    case = Case(batch, inputs, outputs, height, WIDTH * width, 3, 1, 1, 1, 1)
    assert check_convolution(jittor, case) == {"few_channels": 7}


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 3), (3, 32)])
def test_transposed_convolutions_work(jittor, inputs, outputs):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s, dtype=np.float32) for s in ((2, inputs, 16, 16), (inputs, outputs, 3, 3)))
    before = operations.counts()
    found = conv_transpose2d(jittor.array(x), jittor.array(w), 1, 1)
    case = Case(2, outputs, inputs, 16, 16, 3, 1, 1, 1, 1)
    expected, _ = numpy_gradients(np.zeros((2, outputs, 16, 16)), w, x, case)
    assert_close(found, expected)
    assert computed_since(before) == {"few_channels": 1}


@pytest.mark.parametrize(
    "case",
    [
        Case(2, 64, 5, 16, 16, 3, 1, 1, 1, 1),
        Case(2, 12, 3, 16, 16, 3, 1, 1, 1, 1),
        Case(2, 64, 3, 16, 15, 3, 1, 1, 1, 1),
        Case(2, 64, 3, 16, WIDTH // 2, 3, 1, 1, 1, 1),
        Case(2, 64, 3, 16, 16, 3, 2, 1, 1, 1),
        Case(2, 64, 3, 16, 16, 3, 1, 0, 1, 1),
        Case(2, 64, 3, 16, 16, 3, 1, 1, 2, 1),
        Case(2, 64, 3, 16, 16, 1, 1, 0, 1, 1),
    ],
    ids=[
        "five channels",
        "no more than twelve",
        "odd width",
        "half a register",
        "stride",
        "no padding",
        "dilation",
        "one pixel",
    ],
)
def test_other_convolutions_take_other_ways(jittor, case):
    assert "few_channels" not in check_convolution(jittor, case)


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 3), (3, 32)])
def test_weights_may_lie_the_other_way_round(jittor, inputs, outputs):
    case = Case(2, inputs, outputs, 16, 16, 3, 1, 1, 1, 1)
    x, w, dy, *_ = random_arrays(case)
    before = operations.counts()
    x_var, w_var = jittor.array(x), jittor.array(np.ascontiguousarray(w.transpose(1, 0, 2, 3)))
    y = operations._conv(x_var, w_var, operations._FORWARD, 0, 0, 1, 1, 1, 1, 1, 1, 1, w_format="iohw")
    dx, dw = jittor.grad((y * jittor.array(dy)).sum(), [x_var, w_var])
    jittor.sync_all()
    expected_dx, expected_dw = numpy_gradients(x, w, dy, case)
    assert_close(y, numpy_conv(x, w, case))
    assert_close(dx, expected_dx)
    assert_close(dw, expected_dw.transpose(1, 0, 2, 3))
    assert computed_since(before) == {"few_channels": 3}
