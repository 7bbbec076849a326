"""The reference implementation: the same models and training steps, written from the papers in PyTorch and float64.

PyTorch and Jittor can't share a process (their OpenMP and MKL clash), so the reference runs in a child process, which
lives as long as this one: starting PyTorch takes seconds. Arrays are exchanged in .npz files. This module imports
neither PyTorch nor Jittor.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_ROOT = Path(__file__).parents[3]

# importorskip would import PyTorch into Jittor's process.
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, the independent reference, is not installed (pip install torch==2.13.0)",
)


def run_reference(job: str, arrays: Mapping[str, np.ndarray], folder: Path, **settings: Any) -> dict[str, np.ndarray]:
    """Run `job` (see `__main__`) on `arrays` in the child process, and return its results in float64."""
    inputs, outputs = folder / f"{job}-inputs.npz", folder / f"{job}-outputs.npz"
    np.savez(inputs, **arrays)
    child = _child()
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps([job, str(inputs), str(outputs), settings]) + "\n")
    child.stdin.flush()
    if not (answer := child.stdout.readline()):
        _child.cache_clear()  # the next test starts another
        raise AssertionError(f"the reference ended with status {child.wait()}")
    assert (problem := json.loads(answer)) is None, f"the reference failed:\n{problem}"
    with np.load(outputs) as file:
        return dict(file)


@functools.cache
def _child() -> subprocess.Popen[str]:
    """Start the child process. It ends when its standard input is closed, by the end of this process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", __name__], cwd=_ROOT, text=True, **pipes)


def relative_error(actual: Any, expected: np.ndarray, scale: float = 0.0) -> float:
    """Return the largest difference between two arrays, divided by `scale` or the largest magnitude of `expected`."""
    actual = np.asarray(actual.numpy() if hasattr(actual, "numpy") else actual, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    largest = scale or float(np.abs(expected).max())
    assert largest > 0, "nothing to compare with: the reference is zero"
    return float(np.abs(actual - expected).max()) / largest


def strip_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `prefix`, with the prefix removed."""
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def random_weights(
    shapes: Iterable[tuple[str, tuple[int, ...]]], rng: np.random.Generator, large_biases: Container[str] = ()
) -> dict[str, np.ndarray]:
    """Return random weights of the given names and shapes, without special values such as 0 or 1, scaled so that
    outputs are of order 1.

    `large_biases` names layers whose biases should be so large that no input of the following ReLU is near zero.
    Otherwise rounding errors would decide the sign of a few of these inputs, and change whole gradients.
    """
    drawn = {}
    for name, shape in shapes:
        layer, kind = name.rsplit(".", 1)
        value = _value(layer, kind, shape, rng)
        if layer in large_biases and kind == "bias":
            value = rng.choice([-1.0, 1.0], shape) * rng.uniform(2.2, 2.6, shape)
        elif layer in large_biases and kind == "weight":
            value *= 0.45
        drawn[name] = value.astype(np.float32)
    return drawn


def _value(layer: str, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if kind == "running_var":
        return rng.uniform(0.5, 2.0, shape)
    if kind == "weight" and len(shape) == 1:  # the scale of a normalisation
        return rng.normal(1.0, 0.2, shape)
    if kind == "weight" and layer.endswith("projection.embedding"):  # a sum over its outputs is of order 1
        return rng.normal(0.0, shape[0] ** -0.5, shape)
    if kind == "weight":
        return rng.normal(0.0, np.prod(shape[1:]) ** -0.5, shape)
    return rng.normal(0.0, 0.2, shape)
