"""Kernels whose loops are divided among threads compute the right numbers, and the same numbers each time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

# Large enough to be divided among threads, and no size is a multiple of another.
SHAPE = (5, 7, 129, 127)

# Expressions in x (5, 7, 129, 127), row (127,), channel (7,) and sample (5,); each becomes another kind of kernel.
EXPRESSIONS = {
    "elementwise": "m.tanh(x * 1.5 + x * x)",
    "offset per channel": "x * 0.5 + channel.reshape((1, 7, 1, 1))",
    "offset per column": "x * 0.5 + row.reshape((1, 1, 1, 127))",
    "factor per sample": "x * sample.reshape((5, 1, 1, 1))",
    "factor and offset": "x * sample.reshape((5, 1, 1, 1)) + channel.reshape((1, 7, 1, 1))",
    "condition": "m.where(x > 0, x, x * 0.2)",
    "sum of all": "(x * x).sum()",
    "sum of each feature map": "(x * x).sum((2, 3))",
    "sum of each row": "(x * x).sum((3,))",
    "sum of each column": "(x * x).sum((2,))",
    "sum over channels": "(x * x).sum((1,))",
    "sum over samples": "(x * x).sum((0,))",
    "sum of each channel": "(x * x).sum((0, 2, 3))",
    "maximum of each feature map": "(x * x).max((2, 3))",
    "instance norm": "(x - x.mean((2, 3), keepdims=True)) / (1 + (x * x).mean((2, 3), keepdims=True))",
    "batch norm": "(x - x.mean((0, 2, 3), keepdims=True)) / (1 + (x * x).mean((0, 2, 3), keepdims=True)) * x",
    "stored and summed": "(lambda y: y * y.sum((0, 2, 3), keepdims=True))(m.asarray(x * sample.reshape((5, 1, 1, 1))))",
    "stored and averaged": "(lambda y: y * y.mean((3,), keepdims=True))(m.asarray(x * sample.reshape((5, 1, 1, 1))))",
    "slice": "(x * 2)[:, 1:5, 3:, :-4] + 1",
    "slice with steps": "(x * 2)[:, :, ::2, 1::2] + 1",
    "transposed": "(x * 2).transpose((0, 2, 3, 1)) + 1",
    "concatenated": "m.concatenate([x * 2, x + 1, x], 1) * 3",
    "repeated": "m.broadcast_to((x[:, :, :, None, :9, None] * 2), (5, 7, 129, 2, 9, 2)).reshape((5, 7, 258, 18)) + 1",
}

CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from ganzoo import backend
from ganzoo.backend import operations

backend.start("cpu")
jt = backend.jittor()

class NumpyNames:  # Jittor's functions by NumPy's names and arguments
    tanh, concatenate, broadcast_to = jt.tanh, jt.concat, lambda x, shape: x.broadcast(shape)
    where = staticmethod(lambda condition, a, b: jt.ternary(condition, a, b))
    # Jittor stores an array only if an operation that can't be fused needs it.
    asarray = staticmethod(lambda y: uses.append(operations.norm([y])) or y)

shape, expressions, differentiable, target = json.loads(sys.argv[1])
rng = np.random.default_rng(3)
values = [rng.standard_normal(shape, dtype=np.float32)]
values += [rng.standard_normal(size, dtype=np.float32) for size in (shape[3], shape[1], shape[0])]
results = {}
for name, expression in expressions.items():
    inputs = dict(zip(("x", "row", "channel", "sample"), map(jt.array, values)))
    jt.sync_all()
    with jt.profile_scope() as kernels:
        uses = []
        y = eval(expression, {"m": NumpyNames, **inputs})
        jt.sync_all()
    results[name] = y.numpy()
    files = [path for _, path, *_ in kernels[1:] if path.endswith(".cc")]
    results["kernels of " + name] = np.array([Path(path).read_text() for path in files])
    if name in differentiable:
        upstream = jt.array(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape))
        jt.sync_all()
        results["gradient of " + name] = jt.grad((y * upstream).sum(), inputs["x"]).numpy()
np.savez(target, **results)
"""


def run_child(threads: int, target: str, differentiable: list[str]) -> dict[str, np.ndarray]:
    arguments = json.dumps([SHAPE, EXPRESSIONS, differentiable, target])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-c", CHILD, arguments], check=True, env=environment)
    with np.load(target) as file:
        return dict(file)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("loops")
    # A maximum passes its gradient to the elements that equal it, so a single rounding error can change the gradient.
    differentiable = [name for name in EXPRESSIONS if "maximum" not in name]
    return [run_child(threads, str(folder / f"{index}.npz"), differentiable) for index, threads in enumerate((1, 3, 3))]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_kernels_match_numpy(results, name):
    rng = np.random.default_rng(3)
    sizes = (SHAPE, SHAPE[3], SHAPE[1], SHAPE[0])
    values = [rng.standard_normal(size, dtype=np.float32).astype(np.float64) for size in sizes]
    expected = eval(EXPRESSIONS[name], {"m": np, **dict(zip(("x", "row", "channel", "sample"), values))})
    actual = results[1][name].reshape(np.shape(expected))
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


def test_results_are_bit_identical_for_the_same_number_of_threads_and_close_for_others(results):
    """With another number of threads bits may differ: the last iterations of each thread don't fill SIMD vectors."""
    one, three, again = results
    for name, value in one.items():
        if name.startswith("kernels of"):
            continue
        assert np.array_equal(three[name], again[name]), name
        assert np.abs(three[name] - value).max() <= 1e-6 * np.abs(value).max(), name


@pytest.mark.parametrize("name", ["stored and summed", "stored and averaged"])
def test_kernels_that_store_numbers_and_add_them_up_are_parallel(results, name):
    """Jittor fuses the product, which is stored, and the sum. The loop was sequential and took twelve times as long."""
    kernels = [source for source in results[0][f"kernels of {name}"] if "reduce" in source and "binary" in source]
    assert kernels
    for kernel in kernels:
        assert re.search(r"#pragma omp parallel for.*\n *for .*\{\n(?s:.*)_sum = ", kernel)
