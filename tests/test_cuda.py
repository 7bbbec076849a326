"""Training on a GPU. `make test-cuda` runs these tests on a machine with a GPU; elsewhere they are skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.backend import environment
from ganzoo.cli.doctor_gpu import draw_pictures
from tests.support.agreement import ALL_RUNS, gradient_differences, last_checkpoint, weight_differences

CHOICE = environment.choose_device("auto")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(CHOICE.device != "cuda", reason=f"no GPU that ganzoo can use: {CHOICE.reason}"),
]


def run(*arguments: str) -> str:
    """Run a `ganzoo` command in its own process, because a process keeps its device."""
    done = subprocess.run([sys.executable, "-m", "ganzoo", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(where: str, *arguments: str) -> None:
    if not Path("pictures").exists():
        draw_pictures(Path("pictures"), 4 if "--alpha" in arguments else 3)
    run("train", *arguments, "--data", "pictures", "--tick", "0.016", "--seed", "3", "--experiments", where)


def one_step(name: str) -> list[str]:
    """Return arguments for a run of one step. Dropout is off, because its random numbers differ between devices."""
    without = ["--dropout", "0"] if name.startswith("lsgan") else []
    return [*ALL_RUNS[name].split(), "--kimg", "0.008", *without]


@pytest.mark.parametrize("name", ALL_RUNS)
def test_a_step_agrees_with_the_cpu(workdir, name):
    train("cpu", *one_step(name), "--device", "cpu")
    train("cuda", *one_step(name), "--device", "cuda", "--precision", "fp32")
    gradients = gradient_differences(last_checkpoint("cuda"), last_checkpoint("cpu"))
    if name in ("lsgan", "lsgan-diffaugment", "stargan2"):
        # Rounding may change the sign of an activation that is almost 0, and with it the slope of leaky ReLU. One of
        # the discriminator of lsgan can change this gradient by 0.02, those of stargan2 by 0.005 to 0.02.
        assert gradients.pop("generator") < 0.03
    assert max(gradients.values()) < 1e-3
    assert max(weight_differences(last_checkpoint("cuda"), last_checkpoint("cpu")).values()) < 1e-3


@pytest.mark.parametrize("precision", ["tf32", "amp"])
@pytest.mark.parametrize("name", ALL_RUNS)
def test_a_step_of_lower_precision_is_close_to_the_cpu(workdir, name, precision):
    train("cpu", *one_step(name), "--device", "cpu")
    train("cuda", *one_step(name), "--device", "cuda", "--precision", precision)
    difference = max(gradient_differences(last_checkpoint("cuda"), last_checkpoint("cpu")).values())
    assert difference < {"tf32": 0.02, "amp": 0.15}[precision]


@pytest.mark.parametrize("name", ALL_RUNS)
def test_runs_of_several_steps_skip_none(workdir, name):
    for precision in ("fp32", "amp"):
        train(precision, *ALL_RUNS[name].split(), "--device", "cuda", "--precision", precision)
        (run_folder,) = Path(precision).iterdir()
        rows = [json.loads(line) for line in (run_folder / "stats.jsonl").read_text().splitlines()]
        assert [row["skipped"] for row in rows] == [0] * len(rows)
        assert all(row["gpu_memory_bytes"] > 0 for row in rows)


def test_a_run_changes_devices_and_back(workdir):
    start = ["gan", "--size", "8", "--batch", "8"]
    train("whole", *start, "--kimg", "0.048", "--device", "cpu")
    for device, kimg in (("cpu", "0.016"), ("cuda", "0.032"), ("cpu", "0.048")):
        resumed = ["gan", "--resume", "0"] if kimg != "0.016" else start
        train("changed", *resumed, "--kimg", kimg, "--device", device, "--precision", "fp32")
    assert max(weight_differences(last_checkpoint("changed"), last_checkpoint("whole")).values()) < 1e-3


def test_generated_images_match_the_cpu(workdir):
    train("experiments", *one_step("stylegan"), "--device", "cuda", "--precision", "fp32")
    for device in ("cpu", "cuda"):
        run("generate", "--seeds", "0-7", "--grid", "2x4", "--device", device, "--out", device)
    one, two = (np.asarray(Image.open(next(Path(device).glob("*.png")))).astype(int) for device in ("cpu", "cuda"))
    assert np.abs(one - two).max() <= 2


def test_doctor_trains_on_the_gpu(workdir):
    output = run("doctor")
    assert "agree with NumPy, on CUDA" in output
    assert "Ready to train." in output
