"""3x3 convolutions by Winograd's algorithm match NumPy in float64, on processors with and without AVX-512."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from ganzoo import conv2d
from ganzoo.backend import operations
from tests.support.convolutions import SHAPES, assert_close, computed_since, correlate, gradient_of_weight, transposed


def check(jt: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """Compare a convolution, its gradients, and the gradients of <dx, a> + <dw, b> with respect to x, w and dy. Return
    how they were computed."""
    n, inputs, outputs, height, width = shape
    rng = np.random.default_rng(list(shape))
    x_shape, w_shape = (n, inputs, 4 * height, 4 * width), (outputs, inputs, 3, 3)
    shapes = (x_shape, w_shape, (n, outputs, *x_shape[2:]), x_shape, w_shape)
    arrays = [rng.standard_normal(each, dtype=np.float32) for each in shapes]
    x, w, dy, a, b = map(jt.array, arrays)
    jt.sync_all()
    before = operations.counts()
    y = conv2d(x, w, padding=1)
    dx, dw = jt.grad((y * dy).sum(), [x, w])
    second = jt.grad((dx * a).sum() + (dw * b).sum(), [x, w, dy])
    jt.sync_all()

    x64, w64, dy64, a64, b64 = (array.astype(np.float64) for array in arrays)
    assert_close(y, correlate(x64, w64))
    assert_close(dx, correlate(dy64, transposed(w64)))
    assert_close(dw, gradient_of_weight(x64, dy64))
    expected = (
        correlate(dy64, transposed(b64)),
        gradient_of_weight(a64, dy64),
        correlate(a64, w64) + correlate(x64, b64),
    )
    for found, wanted in zip(second, expected):
        assert_close(found, wanted)
    return computed_since(before)


@pytest.mark.parametrize(
    "shape",
    [(2, 64, 80, 2, 3), (3, 64, 130, 8, 4), (1, 64, 64, 16, 8), (40, 70, 64, 2, 2), (1, 256, 320, 5, 5)],
    ids=["few tiles", "more outputs", "wide images", "many images", "many channels"],
)
def test_convolutions_match_numpy(jittor, shape):
    assert check(jittor, shape) == {"winograd": 7}


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES)
def test_any_number_of_channels_and_tiles_works(jittor, shape):
    with operations.winograd_from(channels=1, pixels=4):
        check(jittor, shape)


def test_results_have_the_same_bits_each_time(jittor):
    rng = np.random.default_rng(3)
    x, w = (jittor.array(rng.standard_normal(s, dtype=np.float32)) for s in ((3, 70, 16, 16), (64, 70, 3, 3)))
    jittor.sync_all()
    first, second = (conv2d(x, w, padding=1).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_these_tests_pass_on_a_processor_without_avx512():
    """oneDNN has Winograd's algorithm only for AVX-512, where it computes most convolutions; elsewhere ours does."""
    others = ["-k", "not without_avx512"]  # this test would start itself
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__)), *others]
    environment = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX2"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout
    assert child.stdout.startswith("....... ")
