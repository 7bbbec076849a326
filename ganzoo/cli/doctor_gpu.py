"""`ganzoo doctor --gpu`: compare a training step of each model on the GPU with the same step on the CPU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ganzoo.backend import environment
from ganzoo.backend.checks import Finding
from ganzoo.checkpoints import checkpoint
from ganzoo.interfaces.options import options_by_name

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model
    from ganzoo.registry.plugins import Registry

DEVICE = "cuda"
TOLERANCES = {"fp32": 1e-3, "tf32": 0.05, "amp": 0.2}  # maximum relative error of gradients, by precision
BATCH, SIDE = 8, 64  # images per step, and their side in px
NEGLIGIBLE = 1e-10  # a mean square below this fraction of the largest is only rounding error

Arrays = Mapping[str, np.ndarray]


def compare_devices(registry: Registry) -> Iterator[Finding]:
    """Yield a finding per model and precision: how far the gradients of one step on the GPU are from the CPU's."""
    choice = environment.choose_device("auto")
    if choice.device != DEVICE:
        yield Finding("GPU", "", f"There is nothing to compare: {choice.reason}.")
        return
    with tempfile.TemporaryDirectory(prefix="ganzoo-doctor-") as name:
        folder = Path(name)
        draw_pictures(folder / "pictures")
        for model in registry.models.values():
            yield from _compare_model(model, folder)


def _compare_model(model: Model, folder: Path) -> Iterator[Finding]:
    expected = _step(model, folder, "cpu", "fp32")
    if isinstance(expected, str):
        yield Finding(model.name, "", f"a step on the CPU fails: {expected}")
        return
    for precision, tolerance in TOLERANCES.items():
        actual = _step(model, folder, DEVICE, precision)
        if isinstance(actual, str):
            yield Finding(model.name, "", f"a step on the GPU in {precision} fails: {actual}")
            continue
        errors = relative_errors(actual, expected)
        if not errors:
            yield Finding(model.name, f"{precision}: not compared, because no network is trained with Adam")
            continue
        error = max(errors.values())
        detail = f"{precision}: gradients of one step on the GPU differ from the CPU's by {error:.1e}"
        problem = "" if error <= tolerance else f"This exceeds the tolerance of {tolerance:g} for rounding errors."
        yield Finding(model.name, detail, problem)


def draw_pictures(folder: Path, channels: int = 3) -> None:
    """Write two folders of small images, RGB or RGBA, that any model can train on."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(BATCH + 1):
            pixels = rng.integers(0, 256, (6, 6, channels), dtype=np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / name / f"{index}.png")


def _step(model: Model, folder: Path, device: str, precision: str) -> Arrays | str:
    """Return the checkpoint after one training step, or an error message. Each device needs its own process."""
    experiments = f"{model.name}-{device}-{precision}"
    kimg = str(BATCH / 1000)
    options = ["--batch", str(BATCH), "--kimg", kimg, "--tick", kimg, "--seed", "3", "--experiments", experiments]
    if "dropout" in options_by_name(model.options):  # dropout masks differ between devices
        options += ["--dropout", "0"]
    command = [sys.executable, "-m", "ganzoo", "train", model.name, "--data", "pictures", *options]
    command += ["--device", device, "--precision", precision]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    checkpoints = list((folder / experiments).glob(f"*/*{checkpoint.SUFFIX}"))
    if checkpoints:  # ignore the exit status: CUDA libraries may abort when a process exits
        return checkpoint.read(checkpoints[0]).tensors
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error")]
    return (errors or lines or [f"status {process.returncode}"])[-1]


def relative_errors(actual: Arrays, expected: Arrays) -> dict[str, float]:
    """Return the relative error of each network's gradients, computed from Adam's first moments: after one step, these
    are the gradients times a constant."""
    errors = {}
    for network in {name.split("/")[1] for name in expected if "/first/" in name}:
        names = [name for name in expected if name.startswith(f"adam/{network}/first/")]
        squares = {name: float(np.square(expected[name], dtype=np.float64).mean()) for name in names}
        compared = [name for name in names if squares[name] > NEGLIGIBLE * max(squares.values())]
        one, other = (_concatenate(each, compared) for each in (actual, expected))
        errors[network] = float(np.linalg.norm(one - other) / np.linalg.norm(other))
    return errors


def _concatenate(arrays: Arrays, names: list[str]) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in names], dtype=np.float64)
