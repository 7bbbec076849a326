"""Compares the weights and gradients of a training step on this device with those that prepare.sh got from the CPU.

The CPU draws the initial weights for every device, so the same seed gives the same weights.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kit
import numpy as np

SUBSAMPLE_STEP = 5  # the bundle has every fifth number of a large array
LARGEST = 12  # number of tensors named in a report
Arrays = dict[str, np.ndarray]


def pictures(folder: str | Path, channels: int = 3) -> None:
    """Draw two folders of small pictures that any model can train on."""
    from ganzoo.cli.doctor_gpu import draw_pictures

    draw_pictures(Path(folder), channels)


@contextmanager
def one_step(run: str, *device: str) -> Iterator[Arrays]:
    """Do the first step of a run in tests/support/agreement.py, and yield its weights 'net/NETWORK/...' and Adam's
    first moments 'adam/NETWORK/first/...', which are proportional to the gradients. Dropout is off, because its random
    numbers differ by device."""
    from ganzoo.checkpoints import checkpoint
    from tests.support.agreement import ALL_RUNS

    kit.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kit.WORK, prefix=f"step-{run}-") as folder:
        words = ALL_RUNS[run].split()
        pictures(Path(folder, "pictures"), 4 if "--alpha" in words else 3)
        words += ["--kimg", "0.008", *(["--dropout", "0"] if run.startswith("lsgan") else [])]
        words += ["--data", "pictures", "--tick", "0.016", "--seed", "3", "--experiments", "made", *device]
        command = [sys.executable, "-m", "ganzoo", "train", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        saved = list(Path(folder, "made").glob("*/*.safetensors"))
        if not saved:  # the exit status is unreliable: see step.py
            raise RuntimeError(f"{run}: status {done.returncode}, no checkpoint: {done.stderr[-1500:]}")
        tensors = checkpoint.read(saved[0]).tensors
        yield {name: subsample(tensors[name]) for name in tensors if name.startswith("net/") or "/first/" in name}


def subsample(array: np.ndarray) -> np.ndarray:
    flat = array.ravel()
    return flat[::SUBSAMPLE_STEP] if flat.size > 10_000 else flat


def references(*runs: str) -> None:
    """Write the CPU's arrays of each run to the bundle. Called on the machine without a GPU."""
    from tests.support.agreement import ALL_RUNS

    for run in runs or ALL_RUNS:
        path = kit.BUNDLE / "refs" / f"{run}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_step(run, "--device", "cpu") as arrays:
            np.savez_compressed(path, **arrays)
        kit.report("reference", run=run, bytes=path.stat().st_size)


def values(run: str, precision: str) -> None:
    """Compare a step on this device with the CPU's."""
    with np.load(kit.BUNDLE / "refs" / f"{run}.npz") as file:
        expected = dict(file)
    if kit.past_deadline():
        kit.report("values", run=run, precision=precision, skipped="late")
        return
    began = time.perf_counter()
    with one_step(run, "--device", kit.DEVICE, "--precision", precision) as actual:
        found = compare(actual, expected)
    kit.report("values", run=run, precision=precision, seconds=time.perf_counter() - began, **found)


def compare(actual: Arrays, expected: Arrays) -> dict[str, Any]:
    """Return relative differences of each network's gradients and weights, and the tensors that differ most.

    Weights whose gradient is 0 except for rounding are left out, because Adam turns rounding errors into full steps.
    """
    if actual.keys() != expected.keys():
        raise RuntimeError(f"the tensors differ from the reference's: {sorted(actual.keys() ^ expected.keys())[:5]}")
    gradients, weights, largest = {}, {}, {}
    for network in sorted({name.split("/")[1] for name in expected if "/first/" in name}):
        prefix = f"adam/{network}/first/"
        sizes = {name[len(prefix) :]: _mean_square(expected[name]) for name in expected if name.startswith(prefix)}
        relevant = [name for name, size in sizes.items() if size > 1e-10 * max(sizes.values())]
        gradients[network] = _relative_difference(actual, expected, [prefix + name for name in relevant])
        weights[network] = _relative_difference(actual, expected, [f"net/{network}/{name}" for name in relevant])
        each = {name: _relative_difference(actual, expected, [prefix + name]) for name in relevant}
        largest[network] = sorted(each.items(), key=lambda pair: -pair[1])[:LARGEST]
    worst = max(*gradients.values(), *weights.values())
    return {"worst": worst, "gradients": gradients, "weights": weights, "most": largest}


def _mean_square(array: np.ndarray) -> float:
    return float(np.square(array.astype(np.float64)).mean())


def _relative_difference(actual: Arrays, expected: Arrays, names: list[str]) -> float:
    a, b = (np.concatenate([each[name] for name in names], dtype=np.float64) for each in (actual, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
