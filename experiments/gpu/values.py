"""A training step on this device beside the CPU's, whose weights and gradients prepare.sh has carried along.

The CPU draws initial weights on every device, so that the same seed gives the same ones.
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

CARRIED_SHARE = 5  # of large arrays every fifth number is carried
Arrays = dict[str, np.ndarray]


def pictures(folder: str | Path) -> None:
    """Draw two folders of small pictures, which any model can train on."""
    from ganzoo.cli.doctor_gpu import draw_pictures

    draw_pictures(Path(folder))


@contextmanager
def one_step(run: str, *device: str) -> Iterator[Arrays]:
    """What a run of tests/support/agreement.py leaves after its first step: weights 'net/NETWORK/...', and gradients
    times a number 'adam/NETWORK/first/...'. There is no dropout, of which each device draws its own."""
    from ganzoo.checkpoints import checkpoint
    from tests.support.agreement import RUNS

    kit.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kit.WORK, prefix=f"step-{run}-") as folder:
        pictures(Path(folder, "pictures"))
        words = [*RUNS[run].split(), "--kimg", "0.008", *(["--dropout", "0"] if run == "lsgan" else [])]
        words += ["--data", "pictures", "--tick", "0.016", "--seed", "3", "--experiments", "made", *device]
        command = [sys.executable, "-m", "ganzoo", "train", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        made = list(Path(folder, "made").glob("*/*.safetensors"))
        if not made:  # the status says little: see step.py
            raise RuntimeError(f"{run}: status {done.returncode}, no checkpoint: {done.stderr[-1500:]}")
        tensors = checkpoint.read(made[0]).tensors
        yield {name: few(tensors[name]) for name in tensors if name.startswith("net/") or "/first/" in name}


def few(array: np.ndarray) -> np.ndarray:
    flat = array.ravel()
    return flat[::CARRIED_SHARE] if flat.size > 10_000 else flat


def references(*runs: str) -> None:
    """Write the CPU's arrays of each run, on the machine without a GPU."""
    from tests.support.agreement import RUNS

    for run in runs or RUNS:
        path = kit.CARRIED / "refs" / f"{run}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_step(run, "--device", "cpu") as arrays:
            np.savez_compressed(path, **arrays)
        kit.report("reference", run=run, bytes=path.stat().st_size)


def values(run: str, precision: str) -> None:
    """Compare this device's step with the CPU's."""
    with np.load(kit.CARRIED / "refs" / f"{run}.npz") as file:
        expected = dict(file)
    if kit.late():
        kit.report("values", run=run, precision=precision, skipped="late")
        return
    began = time.perf_counter()
    with one_step(run, "--device", kit.DEVICE, "--precision", precision) as made:
        found = compare(made, expected)
    kit.report("values", run=run, precision=precision, seconds=time.perf_counter() - began, **found)


def compare(made: Arrays, expected: Arrays) -> dict[str, Any]:
    """Relative differences of each network's gradients and weights, and the tensors that differ most.

    Weights whose gradient is 0 but for rounding are left out: Adam makes whole steps of the rounding.
    """
    if made.keys() != expected.keys():
        raise RuntimeError(f"other tensors than the reference has: {sorted(made.keys() ^ expected.keys())[:5]}")
    gradients, weights, most = {}, {}, {}
    for network in sorted({name.split("/")[1] for name in expected if "/first/" in name}):
        prefix = f"adam/{network}/first/"
        sizes = {name[len(prefix) :]: _mean_square(expected[name]) for name in expected if name.startswith(prefix)}
        matter = [name for name, size in sizes.items() if size > 1e-10 * max(sizes.values())]
        gradients[network] = _apart(made, expected, [prefix + name for name in matter])
        weights[network] = _apart(made, expected, [f"net/{network}/{name}" for name in matter])
        each = {name: _apart(made, expected, [prefix + name]) for name in matter}
        most[network] = sorted(each.items(), key=lambda pair: -pair[1])[:4]
    worst = max(*gradients.values(), *weights.values())
    return {"worst": worst, "gradients": gradients, "weights": weights, "most": most}


def _mean_square(array: np.ndarray) -> float:
    return float(np.square(array.astype(np.float64)).mean())


def _apart(made: Arrays, expected: Arrays, names: list[str]) -> float:
    one, two = (np.concatenate([each[name] for name in names], dtype=np.float64) for each in (made, expected))
    return float(np.linalg.norm(one - two) / np.linalg.norm(two))
