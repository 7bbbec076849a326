"""Our operations match PyTorch or NumPy in float64: values, gradients, and gradients of a gradient penalty."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo import conv_transpose2d
from ganzoo.backend import operations
from ganzoo.errors import ShapeError
from tests.support.processor import HAS_AVX, HAS_AVX512
from tests.support.reference import needs_torch, run_reference

MAX_ERROR = 5e-6  # relative, in the L2 norm
# Without AVX-512, only images whose sides are multiples of 4 are computed by Winograd's algorithm.
WINOGRAD = "winograd" if HAS_AVX512 else "direct"

# Shapes of x and weight, arguments of conv2d, and the algorithm that must compute the convolution.
CASES: dict[str, dict[str, Any]] = {
    "winograd": {"x": (2, 64, 16, 16), "weight": (64, 64, 3, 3), "padding": 1, "algorithm": "winograd"},
    "winograd, odd sizes": {"x": (3, 64, 9, 13), "weight": (80, 64, 3, 3), "padding": 1, "algorithm": WINOGRAD},
    "winograd, no padding": {"x": (2, 64, 12, 12), "weight": (64, 64, 3, 3), "algorithm": WINOGRAD},
    "below Winograd's channels": {"x": (2, 16, 8, 8), "weight": (32, 16, 3, 3), "padding": 1, "algorithm": "direct"},
    "few pixels": {"x": (2, 65, 4, 4), "weight": (64, 65, 3, 3), "padding": 1, "algorithm": "direct"},
    "from RGB": {"x": (2, 3, 16, 16), "weight": (64, 3, 1, 1), "algorithm": "plain"},
    "to RGB": {"x": (2, 64, 16, 16), "weight": (3, 64, 1, 1), "algorithm": "plain"},
    "whole image": {"x": (2, 32, 4, 4), "weight": (16, 32, 4, 4), "algorithm": "direct"},
    "stride": {"x": (2, 32, 9, 9), "weight": (48, 32, 4, 4), "stride": 2, "padding": 1, "algorithm": "direct"},
    "dilation": {"x": (2, 16, 9, 9), "weight": (16, 16, 3, 3), "padding": 2, "dilation": 2, "algorithm": "direct"},
    "groups": {"x": (2, 16, 9, 9), "weight": (32, 8, 3, 3), "padding": 1, "groups": 2, "algorithm": "direct"},
    "depthwise": {"x": (2, 8, 9, 9), "weight": (8, 1, 3, 3), "padding": 1, "groups": 8, "algorithm": "direct"},
    "one image": {"x": (1, 1, 12, 12), "weight": (1, 1, 5, 5), "algorithm": "direct"},
}
TRANSPOSED: dict[str, dict[str, Any]] = {
    "twice the size": {"x": (2, 16, 8, 8), "weight": (16, 8, 4, 4), "stride": 2, "padding": 1},
    "odd sizes": {"x": (2, 16, 5, 6), "weight": (16, 8, 3, 3), "stride": 2, "padding": 1, "output_padding": 1},
    "winograd": {"x": (2, 64, 10, 10), "weight": (64, 64, 3, 3), "padding": 1},
}


def random_inputs(case: dict[str, Any], output: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shapes = {"x": case["x"], "weight": case["weight"], "upstream": output}
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def conv_arguments(case: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in case.items() if name not in ("x", "weight", "algorithm")}


def run_convolution(
    jt: Any, convolve: Any, case: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the inputs of a convolution, and the output and the gradients that the reference computes too."""
    shape = convolve(jt.zeros(case["x"]), jt.zeros(case["weight"]), **conv_arguments(case)).shape
    arrays = random_inputs(case, tuple(shape))
    x, weight, upstream = (jt.array(array) for array in arrays.values())
    jt.sync_all()
    y = convolve(x, weight, **conv_arguments(case))
    first = jt.grad((y * upstream * (0.3 * y + 1)).sum(), [x, weight])
    penalty = first[0].sqr().sum() + 0.1 * first[1].sqr().sum()
    found = dict(zip(("y", "dx", "dweight", "ddx", "ddweight"), [y, *first, *jt.grad(penalty, [x, weight])]))
    return arrays, {name: var.numpy() for name, var in found.items()}


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.linalg.norm(found[name] - value) < MAX_ERROR * np.linalg.norm(value), name


@needs_torch
@pytest.mark.parametrize("name", CASES)
def test_convolutions_match_pytorch(jittor, name, tmp_path):
    case = CASES[name]
    before = operations.counts()
    arrays, found = run_convolution(jittor, operations.conv2d, case)
    used = {kind for kind, a, b in zip(before._fields, before, operations.counts()) if b > a}
    assert used == {case["algorithm"]}  # for all nine convolutions of values and gradients
    assert_close(found, run_reference("convolution", arrays, tmp_path, transposed=False, **conv_arguments(case)))


@needs_torch
@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions_match_pytorch(jittor, name, tmp_path):
    arrays, found = run_convolution(jittor, operations.conv_transpose2d, TRANSPOSED[name])
    assert_close(
        found, run_reference("convolution", arrays, tmp_path, transposed=True, **conv_arguments(TRANSPOSED[name]))
    )


@needs_torch
@pytest.mark.parametrize("name", ["below Winograd's channels", "few pixels"])
def test_winograd_is_right_below_its_usual_sizes(jittor, name, tmp_path):
    case = {**CASES[name], "x": (3, *CASES[name]["x"][1:])}  # a new shape, for which no primitive is cached
    before = operations.counts().winograd
    with operations.winograd_from(channels=1, pixels=1):
        arrays, found = run_convolution(jittor, operations.conv2d, case)
    assert operations.counts().winograd == before + 9
    assert_close(found, run_reference("convolution", arrays, tmp_path, transposed=False, **conv_arguments(case)))


def test_convolutions_that_jittor_finds_in_a_graph_use_our_operations(jittor):
    """For example, Jittor finds the convolution of jt.nn.Conv and those of its gradients."""
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
    """If this fails because Jittor recognises them, good: ganzoo's own layers are then needed less."""
    output = subprocess.run([sys.executable, "-c", UNRECOGNISED], check=True, capture_output=True, text=True).stdout
    assert output.split() == ["0", "1"]


def test_a_repeated_convolution_gives_the_same_bits(jittor):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in ((4, 64, 16, 16), (64, 64, 3, 3))]
    results = [operations.conv2d(*(jittor.array(array) for array in arrays), padding=1).numpy() for _ in range(2)]
    assert np.array_equal(*results)


FILTER = {"centre": 0.7, "side": -0.2, "corner": 0.05}


def numpy_filter(x: np.ndarray) -> np.ndarray:
    """Filter in float64 by adding shifted images."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    result = np.zeros(x.shape)
    for down, right in np.ndindex(3, 3):
        factor = [FILTER["centre"], FILTER["side"], FILTER["corner"]][abs(down - 1) + abs(right - 1)]
        result += factor * padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]
    return result


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 1, 5), (2, 3, 5, 1), (3, 2, 2, 2), (2, 5, 33, 70), (2, 70, 32, 32)]
)
def test_symmetric_filters_match_numpy(jittor, shape, ours, monkeypatch):
    if not ours:
        monkeypatch.setattr(operations, "_operations", None)
    rng = np.random.default_rng(3)
    array, upstream = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    x = jittor.array(array)
    y = operations.symmetric_filter(x, **FILTER)
    first = jittor.grad((y * jittor.array(upstream) * (0.3 * y + 1)).sum(), x)
    second = jittor.grad(first.sqr().sum(), x)
    jittor.sync_all()
    y_expected = numpy_filter(array)
    first_expected = numpy_filter(upstream * (0.6 * y_expected + 1))
    second_expected = numpy_filter(1.2 * upstream * numpy_filter(first_expected))
    for found, expected in ((y, y_expected), (first, first_expected), (second, second_expected)):
        assert np.linalg.norm(found.numpy() - expected) < MAX_ERROR * np.linalg.norm(expected)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(3, 5, 7), (300, 700, 513), (601, 500, 300), (1, 4000, 4100)])
def test_matrix_products_and_their_gradients_match_numpy(jittor, rows, inner, columns):
    """Some products are small; others are so large that they are divided among threads, by rows and by columns."""
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
        assert np.linalg.norm(found.numpy() - wanted) < MAX_ERROR * np.linalg.norm(wanted)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0])
def test_leaky_relus_match_numpy(jittor, slope, ours, monkeypatch):
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


def philox(counters: np.ndarray, stream: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Philox2x32-10 (Salmon et al. 2011, section 3.3): both words of the result for each 32-bit counter."""
    mask = np.uint64(0xFFFFFFFF)
    left, right = counters.astype(np.uint64), np.full(len(counters), stream, np.uint64)
    for number in range(10):
        product = left * np.uint64(0xD256D193)
        round_key = np.uint64((key + number * 0x9E3779B9) % 2**32)
        left, right = (product >> np.uint64(32)) ^ round_key ^ right, product & mask
    return left, right


def test_dropout_masks_are_drawn_by_philox(jittor):
    """The mask is large enough that threads share it. Jittor's generator, which gives key and stream, is a linear
    congruential one."""
    assert [int(word[0]) for word in philox(np.zeros(1), 0, 0)] == [0xFF1DAE59, 0x6CD10DF2]  # published with the paper
    jittor.set_seed(123)
    draws = [123]
    for _ in range(2):
        found = operations.dropout_mask((2, 5, 70_000), 0.3).numpy()
        for _ in range(2):
            draws.append(16807 * draws[-1] % (2**31 - 1))
        words, _ = philox(np.arange(700_000), key=draws[-2], stream=draws[-1])
        expected = np.where(words < int(0.3 * 2**32), np.float32(0), np.float32(1 / 0.7))
        np.testing.assert_array_equal(found, expected.reshape(2, 5, 70_000))


def test_dropout_masks_without_our_operations_have_the_same_distribution(jittor, monkeypatch):
    monkeypatch.setattr(operations, "_operations", None)
    mask = operations.dropout_mask((40, 5000), 0.3).numpy()
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.7], rtol=1e-6)
    assert np.mean(mask == 0) == pytest.approx(0.3, abs=0.006)  # 6 standard deviations


@pytest.mark.skipif(shutil.which("objdump") is None or not HAS_AVX, reason="needs objdump and a processor with AVX")
@pytest.mark.parametrize(
    "name", ["ganzoo::apply_slope", "jittor::DropoutMaskOp", "jittor::AdamOp", "jittor::LerpOp", "jittor::NormOp"]
)
def test_the_compiler_vectorises_the_loops_over_numbers(jittor, name):
    """Otherwise leaky ReLU took 14 times as long."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", operations._library._name]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    functions = [block for block in code.split("\n\n") if name in block.partition("\n")[0]]
    assert functions
    assert any(re.search(r"\bv\w+ps .*%[yz]mm", block) for block in functions)


def test_a_library_that_a_process_has_loaded_is_not_replaced_by_another_version(tmp_path, monkeypatch):
    """Two copies of ganzoo may share Jittor's cache, or a copy may be upgraded while it runs."""
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
    assert theirs.name != ours.name  # Jittor names the library after the folder
    assert sorted(path.name for path in cache.iterdir()) == sorted([ours.name, theirs.name])
    assert (theirs / "convolution.h").read_text() == (ours / "convolution.h").read_text() + "// another version\n"


def test_a_library_that_a_process_has_loaded_is_not_replaced_by_one_with_other_flags(tmp_path, monkeypatch):
    ours = operations.sources_in(tmp_path)
    monkeypatch.setattr(operations, "_COMPILER_FLAGS", "-fopenmp")
    assert operations.sources_in(tmp_path) != ours


@pytest.mark.parametrize("output_padding", [-1, 2])
def test_too_much_output_padding_is_an_error(jittor, output_padding):
    """Such results would have pixels to which no weight belongs."""
    x, w = jittor.zeros((1, 32, 15, 15)), jittor.zeros((32, 3, 3, 3))
    with pytest.raises(ShapeError, match=rf"below the stride, 2, but is {output_padding}\."):
        conv_transpose2d(x, w, 2, 1, output_padding)


def test_arrays_are_aligned_to_64_bytes_as_onednn_requires(jittor):
    """When they were aligned to 32 bytes, oneDNN's store instructions sometimes faulted."""
    arrays = [jittor.array(np.ones(size, np.float32)) for size in (1, 7, 1000, 33_333, 3_000_001) for _ in range(5)]
    jittor.sync_all()
    assert {array.data.__array_interface__["data"][0] % 64 for array in arrays} == {0}


def test_mixed_precision_rounds_only_the_factors(jittor, monkeypatch):
    """The test uses the code for CUDA. With `full_precision`, nothing is rounded."""
    monkeypatch.setattr(operations, "_operations", None)
    monkeypatch.setattr(operations, "autocast_enabled", True)
    fine, upstream = 1 + 2**-10, 1 + 2**-20  # these need 11 and 21 bits; bfloat16 has 8
    x = jittor.array(np.full((3, 4), fine, np.float32))
    weight = jittor.array(np.eye(4, dtype=np.float32))
    y = operations.linear(x, weight)
    gradient = jittor.grad((upstream * y).sum() + x.sum() * 2**-20, x)
    with operations.full_precision():
        exact = operations.linear(x, weight)
    assert [each.dtype for each in (y, gradient, exact)] == ["float32"] * 3
    np.testing.assert_array_equal(y.numpy(), 1.0)
    np.testing.assert_array_equal(exact.numpy(), np.float32(fine))
    np.testing.assert_array_equal(gradient.numpy(), np.float32(1 + 2**-20))  # the product's gradient was rounded to 1
    assert operations.autocast_enabled


def numpy_average_pool(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def numpy_upsample(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, 2).repeat(2, 3)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 3, 6, 4), (3, 2, 32, 2)])
@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("average_pool", numpy_average_pool, lambda g: numpy_upsample(g) / 4),
        ("upsample_nearest", numpy_upsample, lambda g: numpy_average_pool(g) * 4),
    ],
)
def test_pooling_and_upsampling_match_numpy(jittor, name, forward, backward, shape, on_gpu, monkeypatch):
    """Values, gradients and second gradients are compared, also with the code for GPUs."""
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
    # The first gradient is linear in y, and y is linear in x: backpropagate through both.
    gradient_of_y = forward(2 * first_expected) * 0.6 * upstream
    second_expected = backward(gradient_of_y)
    for found, expected in ((y, y_expected), (first, first_expected), (second, second_expected)):
        assert np.linalg.norm(found.numpy() - expected) < MAX_ERROR * np.linalg.norm(expected)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (0, 1, 3, 2), (3, 0, 2, 1)])
def test_transpose_matches_numpy(jittor, axes, on_gpu, monkeypatch):
    monkeypatch.setattr(operations, "on_gpu", lambda: on_gpu)
    array = np.random.default_rng(6).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    assert np.array_equal(operations.transpose(jittor.array(array), axes).numpy(), array.transpose(axes))
