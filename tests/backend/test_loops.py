"""Kernels whose loops are divided among threads: the numbers, and that they are the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# Large enough for threads, and no size a multiple of another.
SHAPE = (5, 7, 129, 127)

# What runs as kernels of several kinds: x (5, 7, 129, 127), row (127,), channel (7,) and sample (5,).
EXPRESSIONS = {
    "elementwise": "m.tanh(x * 1.5 + x * x)",
    "a channel's offset": "x * 0.5 + channel.reshape((1, 7, 1, 1))",
    "a row's offset": "x * 0.5 + row.reshape((1, 1, 1, 127))",
    "a sample's factor": "x * sample.reshape((5, 1, 1, 1))",
    "two of them": "x * sample.reshape((5, 1, 1, 1)) + channel.reshape((1, 7, 1, 1))",
    "both signs": "m.where(x > 0, x, x * 0.2)",
    "sum of all": "(x * x).sum()",
    "sum of a map": "(x * x).sum((2, 3))",
    "sum of rows": "(x * x).sum((3,))",
    "sum of columns": "(x * x).sum((2,))",
    "sum of channels": "(x * x).sum((1,))",
    "sum of samples": "(x * x).sum((0,))",
    "sum of a channel": "(x * x).sum((0, 2, 3))",
    "largest of a map": "(x * x).max((2, 3))",
    "mean and spread": "(x - x.mean((2, 3), keepdims=True)) / (1 + (x * x).mean((2, 3), keepdims=True))",
    "batch norm": "(x - x.mean((0, 2, 3), keepdims=True)) / (1 + (x * x).mean((0, 2, 3), keepdims=True)) * x",
    "a part": "(x * 2)[:, 1:5, 3:, :-4] + 1",
    "every other": "(x * 2)[:, :, ::2, 1::2] + 1",
    "turned": "(x * 2).transpose((0, 2, 3, 1)) + 1",
    "joined": "m.concatenate([x * 2, x + 1, x], 1) * 3",
    "repeated": "m.broadcast_to((x[:, :, :, None, :9, None] * 2), (5, 7, 129, 2, 9, 2)).reshape((5, 7, 258, 18)) + 1",
}

CHILD = """
import json, sys
import numpy as np
from ganzoo import backend

backend.start("cpu")
jt = backend.jittor()

class Like:  # of NumPy's functions those that are called otherwise
    tanh, concatenate, broadcast_to = jt.tanh, jt.concat, lambda x, shape: x.broadcast(shape)
    where = staticmethod(lambda condition, a, b: jt.ternary(condition, a, b))

shape, expressions, differentiable, target = json.loads(sys.argv[1])
rng = np.random.default_rng(3)
values = [rng.standard_normal(shape, dtype=np.float32)]
values += [rng.standard_normal(size, dtype=np.float32) for size in (shape[3], shape[1], shape[0])]
found = {}
for name, expression in expressions.items():
    given = dict(zip(("x", "row", "channel", "sample"), map(jt.array, values)))
    jt.sync_all()
    y = eval(expression, {"m": Like, **given})
    found[name] = y.numpy()
    if name in differentiable:
        slopes = jt.array(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape))
        jt.sync_all()
        found["gradient of " + name] = jt.grad((y * slopes).sum(), given["x"]).numpy()
np.savez(target, **found)
"""


def child(threads: int, target: str, differentiable: list[str]) -> dict[str, np.ndarray]:
    given = json.dumps([SHAPE, EXPRESSIONS, differentiable, target])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-c", CHILD, given], check=True, env=environment)
    with np.load(target) as file:
        return dict(file)


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> list[dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("loops")
    differentiable = [name for name in EXPRESSIONS if "largest" not in name]
    return [child(threads, str(folder / f"{index}.npz"), differentiable) for index, threads in enumerate((1, 3, 3))]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_kernels_compute_what_they_did(computed, name):
    rng = np.random.default_rng(3)
    sizes = (SHAPE, SHAPE[3], SHAPE[1], SHAPE[0])
    values = [rng.standard_normal(size, dtype=np.float32).astype(np.float64) for size in sizes]
    expected = eval(EXPRESSIONS[name], {"m": np, **dict(zip(("x", "row", "channel", "sample"), values))})
    actual = computed[1][name].reshape(np.shape(expected))
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_same_threads_give_the_same_bits_and_others_the_same_numbers(computed):
    """Not the same bits: the last iterations of each thread don't fill the processor's vectors."""
    one, three, again = computed
    for name, value in one.items():
        assert np.array_equal(three[name], again[name]), name
        assert np.abs(three[name] - value).max() <= 1e-6 * np.abs(value).max(), name
