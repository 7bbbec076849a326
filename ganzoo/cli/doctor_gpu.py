"""`ganzoo doctor --gpu`: compare a training step of each model on the GPU with the same step on the CPU.

Some networks amplify rounding errors, as StarGAN v2 does by normalising maps of a few pixels. So the same step is also
done on the CPU with weights that differ by rounding, which shows what a correct GPU may do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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
# Maximum relative error of gradients, by precision. In fp32 it is so large because rounding changes the sign of an
# activation that is almost 0, and with it the slope of leaky ReLU: one activation changed the gradient of lsgan's
# generator by 0.0015 on an H100, and one of the discriminator can change it by 0.02.
TOLERANCES = {"fp32": 0.03, "tf32": 0.05, "amp": 0.2}
BATCH, SIDE = 8, 64  # images per step, and their side in px
ROUNDING = 2.0**-24  # relative change of a weight: half the distance of neighbours in float32
# A network's tolerance is at least this multiple of its sensitivity, the error that ROUNDING causes on the CPU.
MARGIN = 10
MAX_TOLERANCE = 0.3  # a network whose tolerance would be larger is not compared
MAX_SENSITIVITY = 1e-4  # in lower precisions, whose rounding errors are a thousand times as large
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
    sources = _sources(model, folder)
    expected = sources if isinstance(sources, str) else _step(model, folder, "cpu", "fp32", sources.exact)
    rounded = sources if isinstance(sources, str) else _step(model, folder, "cpu", "fp32", sources.rounded)
    if isinstance(sources, str) or isinstance(expected, str) or isinstance(rounded, str):
        failed = next(each for each in (sources, expected, rounded) if isinstance(each, str))
        yield Finding(model.name, "", f"a step on the CPU fails: {failed}")
        return
    sensitivities = relative_errors(rounded, expected)
    for precision, tolerance in TOLERANCES.items():
        actual = _step(model, folder, DEVICE, precision, sources.exact)
        if isinstance(actual, str):
            yield Finding(model.name, "", f"a step on the GPU in {precision} fails: {actual}")
        elif not sensitivities:
            yield Finding(model.name, f"{precision}: not compared, because no network is trained with Adam")
        else:
            yield _judge(model.name, precision, relative_errors(actual, expected), sensitivities, tolerance)


def _judge(
    name: str, precision: str, errors: Mapping[str, float], sensitivities: Mapping[str, float], tolerance: float
) -> Finding:
    tolerances = {network: max(tolerance, MARGIN * each) for network, each in sensitivities.items()}
    compared = {
        network: error
        for network, error in errors.items()
        if tolerances[network] <= MAX_TOLERANCE and (precision == "fp32" or sensitivities[network] <= MAX_SENSITIVITY)
    }
    skipped = _sensitive(sorted(errors.keys() - compared.keys()))
    if not compared:
        return Finding(name, f"{precision}: {skipped}")
    error = max(compared.values())
    detail = f"{precision}: gradients of one step on the GPU differ from the CPU's by {error:.1e}"
    worst = max(compared, key=lambda network: compared[network] / tolerances[network])
    problem = ""
    if compared[worst] > tolerances[worst]:
        problem = f"That of the {worst} exceeds the tolerance of {tolerances[worst]:.2g} for rounding errors."
    return Finding(name, f"{detail}; {skipped}" if skipped else detail, problem)


def _sensitive(networks: Iterable[str]) -> str:
    names = ", ".join(networks)
    return f"not compared, because they amplify rounding errors: {names}" if names else ""


def draw_pictures(folder: Path, channels: int = 3) -> None:
    """Write two folders of small images, RGB or RGBA, that any model can train on."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(BATCH + 1):
            pixels = rng.integers(0, 256, (6, 6, channels), dtype=np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / name / f"{index}.png")


@dataclass(frozen=True)
class Sources:
    """Checkpoints to start from: one, and the same with weights that differ by rounding."""

    exact: Path
    rounded: Path


def _sources(model: Model, folder: Path) -> Sources | str:
    """Train for one step on the CPU, and return what the compared steps start from, or an error message."""
    exact = _train(model, folder, "start", "--device", "cpu", "--precision", "fp32")
    if isinstance(exact, str):
        return exact
    saved = checkpoint.read(exact)
    rng = np.random.default_rng(0)
    tensors = {
        name: value * (1 + ROUNDING * rng.standard_normal(value.shape)).astype(value.dtype)
        if name.startswith(("net/", "ema/")) and value.dtype == np.float32
        else value
        for name, value in saved.tensors.items()
    }
    rounded = folder / f"{model.name}-rounded{checkpoint.SUFFIX}"
    checkpoint.write(rounded, tensors, saved.run, saved.metadata)
    return Sources(exact, rounded)


def _step(model: Model, folder: Path, device: str, precision: str, source: Path) -> Arrays | str:
    """Return Adam's first moments after one step from the weights of `source`, or an error message."""
    name = f"{device}-{precision}-{source.stem}"
    path = _train(model, folder, name, "--from", str(source), "--device", device, "--precision", precision)
    if isinstance(path, str):
        return path
    tensors = checkpoint.read(path).tensors
    shutil.rmtree(path.parent)  # checkpoints of StarGAN v2 have more than a gigabyte
    return {name: moment for name, moment in tensors.items() if "/first/" in name}


def _train(model: Model, folder: Path, name: str, *options: str) -> Path | str:
    """Train for one step, and return the path of the checkpoint, or an error message. Each device needs its own
    process."""
    experiments = f"{model.name}-{name}"
    kimg = str(BATCH / 1000)
    command = [sys.executable, "-m", "ganzoo", "train", model.name, "--data", "pictures", "--batch", str(BATCH)]
    command += ["--kimg", kimg, "--tick", kimg, "--seed", "3", "--experiments", experiments, *options]
    if "dropout" in options_by_name(model.options):  # dropout masks differ between devices
        command += ["--dropout", "0"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    paths = [path for run in (folder / experiments).glob("*/") for path in checkpoint.list_checkpoints(run)]
    done = [path for path in paths if checkpoint.images_seen(path)]
    if done:  # ignore the exit status: CUDA libraries may abort when a process exits
        return done[0]
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
