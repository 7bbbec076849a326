"""Convolutions against PyTorch in float64: values, gradients, and gradients of a penalty on gradients."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.backend import operations
from tests.support.reference import in_torch, needs_torch

BOUND = 5e-6  # relative, in the L2 norm

# x, weight, and how: one case for each way to compute it.
CASES: dict[str, dict[str, Any]] = {
    "winograd": {"x": (2, 64, 16, 16), "weight": (64, 64, 3, 3), "padding": 1, "algorithm": "winograd"},
    "winograd, odd sizes": {"x": (3, 64, 9, 13), "weight": (80, 64, 3, 3), "padding": 1, "algorithm": "winograd"},
    "winograd, no padding": {"x": (2, 64, 12, 12), "weight": (64, 64, 3, 3), "algorithm": "winograd"},
    "few channels": {"x": (2, 16, 8, 8), "weight": (32, 16, 3, 3), "padding": 1, "algorithm": "direct"},
    "few pixels": {"x": (2, 65, 4, 4), "weight": (64, 65, 3, 3), "padding": 1, "algorithm": "direct"},
    "from colours": {"x": (2, 3, 16, 16), "weight": (64, 3, 1, 1), "algorithm": "plain"},
    "to colours": {"x": (2, 64, 16, 16), "weight": (3, 64, 1, 1), "algorithm": "plain"},
    "whole image": {"x": (2, 32, 4, 4), "weight": (16, 32, 4, 4), "algorithm": "direct"},
    "stride": {"x": (2, 32, 9, 9), "weight": (48, 32, 4, 4), "stride": 2, "padding": 1, "algorithm": "direct"},
    "dilation": {"x": (2, 16, 9, 9), "weight": (16, 16, 3, 3), "padding": 2, "dilation": 2, "algorithm": "direct"},
    "groups": {"x": (2, 16, 9, 9), "weight": (32, 8, 3, 3), "padding": 1, "groups": 2, "algorithm": "direct"},
    "depthwise": {"x": (2, 8, 9, 9), "weight": (8, 1, 3, 3), "padding": 1, "groups": 8, "algorithm": "direct"},
    "one image": {"x": (1, 1, 12, 12), "weight": (1, 1, 5, 5), "algorithm": "direct"},
}
TRANSPOSED: dict[str, dict[str, Any]] = {
    "doubled": {"x": (2, 16, 8, 8), "weight": (16, 8, 4, 4), "stride": 2, "padding": 1},
    "uneven": {"x": (2, 16, 5, 6), "weight": (16, 8, 3, 3), "stride": 2, "padding": 1, "output_padding": 1},
    "winograd": {"x": (2, 64, 10, 10), "weight": (64, 64, 3, 3), "padding": 1},
}


def given(case: dict[str, Any], output: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shapes = {"x": case["x"], "weight": case["weight"], "upstream": output}
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def settings(case: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in case.items() if name not in ("x", "weight", "algorithm")}


def differentiated(jt: Any, convolve: Any, case: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What is given to a convolution, and all that the reference answers."""
    shape = convolve(jt.zeros(case["x"]), jt.zeros(case["weight"]), **settings(case)).shape
    arrays = given(case, tuple(shape))
    x, weight, upstream = (jt.array(array) for array in arrays.values())
    jt.sync_all()
    y = convolve(x, weight, **settings(case))
    first = jt.grad((y * upstream * (0.3 * y + 1)).sum(), [x, weight])
    penalty = first[0].sqr().sum() + 0.1 * first[1].sqr().sum()
    found = dict(zip(("y", "dx", "dweight", "ddx", "ddweight"), [y, *first, *jt.grad(penalty, [x, weight])]))
    return arrays, {name: var.numpy() for name, var in found.items()}


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.linalg.norm(found[name] - value) < BOUND * np.linalg.norm(value), name


@needs_torch
@pytest.mark.parametrize("name", CASES)
def test_convolutions(jittor, name, tmp_path):
    case = CASES[name]
    before = operations.counts()
    arrays, found = differentiated(jittor, operations.conv2d, case)
    used = {kind for kind, a, b in zip(before._fields, before, operations.counts()) if b > a}
    assert used == {case["algorithm"]}  # for all nine of them
    check(found, in_torch("convolution", arrays, tmp_path, transposed=False, **settings(case)))


@needs_torch
@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions(jittor, name, tmp_path):
    arrays, found = differentiated(jittor, operations.conv_transpose2d, TRANSPOSED[name])
    check(found, in_torch("convolution", arrays, tmp_path, transposed=True, **settings(TRANSPOSED[name])))


@needs_torch
@pytest.mark.parametrize("name", ["few channels", "few pixels"])
def test_winograd_below_its_usual_sizes(jittor, name, tmp_path):
    case = {**CASES[name], "x": (3, *CASES[name]["x"][1:])}  # another shape, or what is known already would be used
    before = operations.counts().winograd
    with operations.winograd_from(channels=1, pixels=1):
        arrays, found = differentiated(jittor, operations.conv2d, case)
    assert operations.counts().winograd == before + 9
    check(found, in_torch("convolution", arrays, tmp_path, transposed=False, **settings(case)))


def test_convolutions_that_jittor_finds_in_a_graph_use_our_operations(jittor):
    """As those of jt.nn.Conv, in both directions."""
    layer = jittor.nn.Conv(64, 64, 3, padding=1)
    x = jittor.randn(2, 64, 8, 8)
    before = sum(operations.counts())
    y = layer(x)
    jittor.sync_all()
    assert sum(operations.counts()) == before + 1
    gradients = jittor.grad((y * jittor.randn(y.shape)).sum(), [x, layer.weight])
    jittor.sync_all()
    assert len(gradients) == 2
    assert sum(operations.counts()) == before + 3


UNRECOGNISED = """
from ganzoo import backend

backend.start("cpu")
jt = backend.jittor()
layer, x = jt.nn.Conv(64, 64, 3, padding=1), jt.randn(2, 64, 8, 8)
y = layer(x)
jt.sync_all()
print(backend.unrecognised_convolutions())
for gradient in jt.grad(y.sqr().sum(), [x, layer.weight]):
    gradient.sync()
print(backend.unrecognised_convolutions())
"""


def test_convolutions_that_jittor_does_not_recognise_are_counted():
    """If this fails because it finds them, good: then ganzoo's own layers are needed less."""
    said = subprocess.run([sys.executable, "-c", UNRECOGNISED], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["0", "1"]


def test_two_computations_are_the_same_to_the_bit(jittor):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in ((4, 64, 16, 16), (64, 64, 3, 3))]
    results = [operations.conv2d(*(jittor.array(array) for array in arrays), padding=1).numpy() for _ in range(2)]
    assert np.array_equal(*results)


FILTER = {"centre": 0.7, "side": -0.2, "corner": 0.05}


def filtered(x: np.ndarray) -> np.ndarray:
    """In float64, one shift after the other."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    found = np.zeros(x.shape)
    for down, right in np.ndindex(3, 3):
        factor = [FILTER["centre"], FILTER["side"], FILTER["corner"]][abs(down - 1) + abs(right - 1)]
        found += factor * padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]
    return found


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 1, 5), (2, 3, 5, 1), (3, 2, 2, 2), (2, 5, 33, 70), (2, 70, 32, 32)]
)
def test_symmetric_filters(jittor, shape, ours, monkeypatch):
    if not ours:
        monkeypatch.setattr(operations, "_operations", None)
    rng = np.random.default_rng(3)
    array, upstream = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    x = jittor.array(array)
    y = operations.symmetric_filter(x, **FILTER)
    first = jittor.grad((y * jittor.array(upstream) * (0.3 * y + 1)).sum(), x)
    second = jittor.grad(first.sqr().sum(), x)
    jittor.sync_all()
    y_expected = filtered(array)
    first_expected = filtered(upstream * (0.6 * y_expected + 1))
    second_expected = filtered(1.2 * upstream * filtered(first_expected))
    for found, expected in ((y, y_expected), (first, first_expected), (second, second_expected)):
        assert np.linalg.norm(found.numpy() - expected) < BOUND * np.linalg.norm(expected)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(3, 5, 7), (300, 700, 513), (601, 500, 300), (1, 4000, 4100)])
def test_matrix_products(jittor, rows, inner, columns):
    """Small ones and those that threads share, by rows and by columns, in each of the three directions."""
    rng = np.random.default_rng(6)
    array, matrix, upstream = (
        rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, inner), (columns, inner), (rows, columns))
    )
    x, weight = jittor.array(array), jittor.array(matrix)
    y = operations.linear(x, weight)
    gradients = jittor.grad((y * jittor.array(upstream)).sum(), [x, weight])
    exact = [each.astype(np.float64) for each in (array, matrix, upstream)]
    expected = (exact[0] @ exact[1].T, exact[2] @ exact[1], exact[2].T @ exact[0])
    for found, wanted in zip((y, *gradients), expected):
        assert np.linalg.norm(found.numpy() - wanted) < BOUND * np.linalg.norm(wanted)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0])
def test_leaky_relus(jittor, slope, ours, monkeypatch):
    if not ours:
        monkeypatch.setattr(operations, "_operations", None)
    rng = np.random.default_rng(4)
    array, upstream = (rng.standard_normal((70, 50, 60), dtype=np.float32) for _ in range(2))
    array[0, 0] = 0
    factor = np.where(array > 0, 1.0, slope)
    x = jittor.array(array)
    y = operations.leaky_relu(x, slope)
    first = jittor.grad((y * jittor.array(upstream) * (0.3 * y + 1)).sum(), x)
    second = jittor.grad(first.sqr().sum(), x)
    y_expected = factor * array
    first_expected = factor * upstream * (0.6 * y_expected + 1)
    second_expected = 2 * first_expected * 0.6 * factor**2 * upstream
    for found, expected in ((y, y_expected), (first, first_expected), (second, second_expected)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_library_that_a_process_has_loaded_is_not_replaced_by_another_version(tmp_path, monkeypatch):
    """Two copies of ganzoo may share Jittor's cache, or one be upgraded while it runs."""
    cache, other = tmp_path / "cache", tmp_path / "other"
    cache.mkdir()
    shutil.copytree(Path(operations.__file__).parent, other, ignore=shutil.ignore_patterns("__pycache__"))
    ours = operations.sources_in(cache)
    assert operations.sources_in(cache) == ours
    monkeypatch.setattr(operations, "__file__", str(other / "__init__.py"))
    assert operations.sources_in(cache) == ours
    with open(other / "convolution.h", "a") as file:
        file.write("// another version\n")
    theirs = operations.sources_in(cache)
    assert theirs.name != ours.name  # after which Jittor names the library
    assert sorted(path.name for path in cache.iterdir()) == sorted([ours.name, theirs.name])
    assert (theirs / "convolution.h").read_text() == (ours / "convolution.h").read_text() + "// another version\n"


def test_arrays_begin_where_onednns_instructions_do_not_fault(jittor):
    """At multiples of 32 only they did fault, now and then."""
    arrays = [jittor.array(np.ones(size, np.float32)) for size in (1, 7, 1000, 33_333, 3_000_001) for _ in range(5)]
    jittor.sync_all()
    assert {array.data.__array_interface__["data"][0] % 64 for array in arrays} == {0}


def test_mixed_precision_rounds_only_the_factors(jittor, monkeypatch):
    """As on CUDA; and what metrics compute stays exact."""
    monkeypatch.setattr(operations, "_operations", None)
    monkeypatch.setattr(operations, "autocast_enabled", True)
    fine, upstream = 1 + 2**-10, 1 + 2**-20  # of 11 and 21 bits, and bfloat16 has 8
    x = jittor.array(np.full((3, 4), fine, np.float32))
    weight = jittor.array(np.eye(4, dtype=np.float32))
    y = operations.linear(x, weight)
    gradient = jittor.grad((upstream * y).sum() + x.sum() * 2**-20, x)
    with operations.full_precision():
        exact = operations.linear(x, weight)
    assert [each.dtype for each in (y, gradient, exact)] == ["float32"] * 3
    np.testing.assert_array_equal(y.numpy(), 1.0)
    np.testing.assert_array_equal(exact.numpy(), np.float32(fine))
    np.testing.assert_array_equal(gradient.numpy(), np.float32(1 + 2**-20))  # the product's part was rounded
    assert operations.autocast_enabled


def pooled(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def enlarged(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, 2).repeat(2, 3)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 3, 6, 4), (3, 2, 32, 2)])
@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [("average_pool", pooled, lambda g: enlarged(g) / 4), ("upsample_nearest", enlarged, lambda g: pooled(g) * 4)],
)
def test_pixels_are_pooled_and_repeated(jittor, name, forward, backward, shape, on_gpu, monkeypatch):
    """As on a GPU, too: values, gradients and gradients of gradients."""
    monkeypatch.setattr(operations, "on_gpu", lambda: on_gpu)
    rng = np.random.default_rng(5)
    array = rng.standard_normal(shape, dtype=np.float32)
    x = jittor.array(array)
    y = getattr(operations, name)(x)
    upstream = rng.standard_normal(y.shape, dtype=np.float32)
    first = jittor.grad((y * jittor.array(upstream) * (0.3 * y + 1)).sum(), x)
    second = jittor.grad(first.sqr().sum(), x)
    jittor.sync_all()
    y_expected = forward(array.astype(np.float64))
    first_expected = backward(upstream * (0.6 * y_expected + 1))
    # The second runs back through the first: its own transpose, a multiplication, and the transpose again.
    through = forward(2 * first_expected) * 0.6 * upstream
    second_expected = backward(through)
    for found, expected in ((y, y_expected), (first, first_expected), (second, second_expected)):
        assert np.linalg.norm(found.numpy() - expected) < BOUND * np.linalg.norm(expected)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (0, 1, 3, 2), (3, 0, 2, 1)])
def test_transpose_matches_numpy(jittor, axes, on_gpu, monkeypatch):
    monkeypatch.setattr(operations, "on_gpu", lambda: on_gpu)
    array = np.random.default_rng(6).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    assert np.array_equal(operations.transpose(jittor.array(array), axes).numpy(), array.transpose(axes))
