"""A failure outside the training step is reported once. It neither ends training nor changes the weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import hookimpl, plots
from ganzoo.checkpoints import checkpoint
from ganzoo.files import atomic_write
from ganzoo.registry import plugins
from ganzoo.runs import Run
from ganzoo.sampling import image_files
from ganzoo.training.metric_tracker import MetricTracker
from ganzoo.training.reporting import curves, samples
from ganzoo.training.reporting.progress_bar import ProgressBar
from ganzoo.training.reporting.reporter import RunReporter
from tests.cli.test_train import RUN
from tests.conftest import TINY_RUN_OPTIONS

TRAIN = ["train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS]
TRACK = ["--evaluate-every", "0.008", "--evaluate", "kid", "--evaluate-samples", "12"]


def raising(error: BaseException):
    def fail(*arguments, **named):
        raise error

    return fail


class FailingPlugin:
    @staticmethod
    @hookimpl
    def ganzoo_tick(run: Path, stats: dict) -> None:
        raise OSError(28, "No space left on device")


def break_the_disk(monkeypatch):
    """Make the disk full for everything except checkpoints and options."""
    replace = atomic_write

    def full(path, *parts):
        if path.suffix == ".png":
            raise OSError(28, "No space left on device")
        replace(path, *parts)

    monkeypatch.setattr(plots, "atomic_write", full)
    monkeypatch.setattr(image_files, "to_pil", raising(OSError(28, "No space left on device")))


def break_the_plugin(monkeypatch):
    load = plugins.load

    def loaded(*arguments, **named):
        registry = load(*arguments, **named)
        registry.manager.register(FailingPlugin, name="breaks")
        return registry

    monkeypatch.setattr(plugins, "load", loaded)


def breaking(module, name, error):
    return lambda monkeypatch: monkeypatch.setattr(module, name, raising(error))


FAULTS = {
    "curves": (breaking(curves, "save_curves", ValueError("bad\nvalue")), "losses.png: ValueError: bad value"),
    "samples": (breaking(samples, "sample_sheets", RuntimeError("no")), "samples: RuntimeError: no"),
    "disk": (break_the_disk, "warning: samples: "),
    "memory": (breaking(samples, "sample_sheets", MemoryError()), "samples: MemoryError"),
    "metrics": (breaking(MetricTracker, "measure", OSError(5, "Input/output error")), "--evaluate-every: [Errno 5]"),
    "statistics": (breaking(Run, "append_stats", OSError(28, "No space left on device")), "stats.jsonl: "),
    "plugin": (break_the_plugin, "plugin breaks: ganzoo_tick raised OSError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_outside_training_is_reported_once(jittor, ganzoo, pictures, monkeypatch, fault):
    assert ganzoo(*TRAIN, *TRACK).exit_code == 0
    inject, message = FAULTS[fault]
    with monkeypatch.context() as patched:
        patched.setattr(curves, "INTERVAL", 0.0)
        inject(patched)
        result = ganzoo(*TRAIN, *TRACK)
    assert result.exit_code == 0, result.output
    assert result.output.count(message) == 1
    assert "Traceback" not in result.output
    run = RUN.with_name("00001-gan-pictures")
    assert [path.name for path in checkpoint.list_checkpoints(run)] == [
        path.name for path in checkpoint.list_checkpoints(RUN)
    ]
    assert checkpoint.newest(run).read_bytes() == checkpoint.newest(RUN).read_bytes()
    assert not list(run.glob(".*"))


def test_the_checkpoint_is_saved_before_anything_that_could_fail(jittor, ganzoo, pictures, monkeypatch):
    """The checkpoint is saved even if the failure ends the process."""
    monkeypatch.setattr(samples, "sample_sheets", raising(SystemExit(3)))
    monkeypatch.setattr(RunReporter, "first_samples", lambda *_: None)
    assert ganzoo(*TRAIN, "--snapshot", "1").exit_code == 3
    assert checkpoint.images_seen(checkpoint.newest(RUN)) == 8


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "tkagg"])
def test_training_ignores_the_matplotlib_backend_of_the_environment(ganzoo, pictures, backend):
    environment = {**os.environ, "MPLBACKEND": backend}
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-m", "ganzoo", *TRAIN]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert "warning" not in child.stderr
    assert (RUN / "losses.png").exists()


def test_the_fonts_of_matplotlib_are_found_with_an_unknown_backend(workdir):
    program = "from ganzoo.cli import main; main(['--version'], standalone_mode=False)\n"
    program += "from ganzoo_datasets import glyphs; print(next(glyphs.candidates()))"
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    child = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "Glyph(" in child.stdout, child.stderr


def test_the_log_and_redirected_output_get_a_line_per_tick(ganzoo, pictures):
    with open("output.txt", "w") as output:
        command = [sys.executable, "-W", "error::UserWarning:tqdm", "-m", "ganzoo", *TRAIN, "--kimg", "0.03"]
        assert subprocess.run(command, stderr=output, stdout=subprocess.PIPE, check=False).returncode == 0
    lines = Path("output.txt").read_text().splitlines()
    assert not [line for line in lines if "tqdm" in line or "%|" in line]
    reports = [line for line in lines if line.startswith("00000-")]  # Jittor may report kernels between them
    assert [line.split(" img/s")[0].rpartition(" ")[0] for line in reports] == [
        f"00000-gan-pictures: {kimg} kimg:" for kimg in ("0.008", "0.016", "0.024", "0.032")
    ]
    log = (RUN / "log.txt").read_text()
    assert "0.032 kimg: " in log
    assert f"writing samples, losses (every 0.008 kimg) and checkpoints to {RUN}" in log
    assert [json.loads(line)["images"] for line in (RUN / "stats.jsonl").read_text().splitlines()] == [8, 16, 24, 32]


def test_the_curves_of_an_interrupted_run_reach_its_last_step(jittor, ganzoo, pictures, monkeypatch):
    """The last step is drawn even if the curves were drawn less than half a minute before, at the previous tick."""
    drawn = []
    update = ProgressBar.update

    def interrupted(bar, images):
        update(bar, images)
        if images == 12:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(curves, "save_curves", lambda path, rows, panels: drawn.append(rows[-1]["images"]))
    monkeypatch.setattr(ProgressBar, "update", interrupted)
    result = ganzoo(*TRAIN)
    assert result.exit_code == 128 + signal.SIGTERM, result.output
    assert drawn == [8, 12]
