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
from tests.support.convolutions import SHAPES, Case, check_convolution


def check(jt: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """Like `check_convolution`, for `shape`: images, channels of x and y, tiles down and across."""
    n, inputs, outputs, height, width = shape
    return check_convolution(jt, Case(n, inputs, outputs, 4 * height, 4 * width, 3, 1, 1, 1, 1))


@pytest.mark.parametrize(
    "shape",
    [(2, 64, 80, 2, 3), (3, 64, 130, 8, 4), (1, 64, 64, 16, 8), (40, 70, 64, 2, 2), (1, 256, 320, 5, 5)],
    ids=["few tiles", "more outputs", "wide images", "many images", "many channels"],
)
def test_convolutions_match_numpy(jittor, shape):
    assert check(jittor, shape) == {"winograd": 7}


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES.filter(lambda shape: min(shape[1:3]) > 4))  # few_channels.cc computes others
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
