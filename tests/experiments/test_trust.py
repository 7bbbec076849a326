"""The scripts in experiments/trust notice the faults that they look for."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import StateMetadata
from ganzoo.interfaces.progress import Progress
from ganzoo.runs import Run
from tests.support.descriptions import parse_descriptions

FOLDER = Path(__file__).parents[2] / "experiments" / "trust"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def write_checkpoint(folder: Path, images: int) -> Path:
    """Write a checkpoint of random numbers."""
    path = folder / checkpoint.file_name(images)
    arrays = {"net/a": np.random.default_rng(images).integers(1, 2**31, 40_000, np.int32)}
    data = {"name": "n", "count": 0, "size": 8, "channels": 1}
    description = {"model": "m", "options": {}, "data": data, "progress": {"images": images}}
    checkpoint.write(path, arrays, *parse_descriptions(description))
    return path


@pytest.mark.parametrize("name", ["endings", "exact_resume", "kill_saving", "soak"])
def test_help_describes_the_script(script, name):
    result = CliRunner().invoke(script(name).main, ["--help"])
    assert result.exit_code == 0, result.output
    assert "?" in result.output


FROZEN = '  File "<frozen runpy>", line 198, in _run_module_as_main\n'
POOL = '  File "/usr/lib/python3.11/multiprocessing/pool.py", line 114, in worker\n'


@pytest.mark.parametrize(
    ("frames", "last", "found"),
    [
        (FROZEN, "KeyboardInterrupt\n", ""),
        (FROZEN + POOL, "KeyboardInterrupt\n", "Traceback"),  # in a worker process of Jittor
        (FROZEN, "KeyError: 1\n", "Traceback"),
        (FROZEN, "KeyboardInterrupt\nError: interrupted\n", "Traceback"),
    ],
)
def test_only_python_at_start_up_may_show_a_traceback(script, frames, last, found):
    shown = f"Traceback (most recent call last):\n{frames}{last}"
    for text in (shown, "^C" + shown.replace("\n", "\r\n")):
        assert script("processes").forbidden_output(text) == found
    assert script("processes").forbidden_output(f"Error: interrupted\n{shown}") == "Traceback"


def test_every_checkpoint_fault_damages_a_checkpoint(script, tmp_path):
    import random

    faults = script("faults").CHECKPOINT_FAULTS
    for number, (kind, fault) in enumerate(faults.items()):
        path = write_checkpoint(tmp_path, number)
        assert script("processes").read_intact(path), kind
        fault(path, random.Random(number))
        assert script("processes").read_intact(path) is None, kind


def test_one_bit_makes_two_checkpoints_different(script, tmp_path):
    (tmp_path / "other").mkdir()
    one, other = write_checkpoint(tmp_path, 8), write_checkpoint(tmp_path / "other", 8)
    describe_difference = script("processes").describe_difference
    assert describe_difference(one, other) == ""
    saved = checkpoint.read(other)
    saved.tensors["net/a"][7] ^= 1
    checkpoint.write(other, saved.tensors, saved.run, saved.metadata)
    assert describe_difference(one, other) == "1 of 1 tensors differ, e.g. net/a"
    checkpoint.write(other, checkpoint.read(one).tensors, saved.run, StateMetadata(Progress(images=9)))
    assert describe_difference(one, other) == "progress.images: 8 is not 9"


def test_a_lost_checkpoint_is_noticed(script, tmp_path):
    script = script("kill_saving")
    run, counts = Run(tmp_path), script.Counts()
    for images in (1, 2, 3):
        checkpoint.write(tmp_path / checkpoint.file_name(images), *script.expected_content(images, 0.1))
        run.log(f"saved {checkpoint.file_name(images)}")
    checkpoint.prune(tmp_path, script.KEEP)
    assert (script.check_folder(tmp_path, 1, 0.1, counts), counts.faults) == (3, [])
    (tmp_path / checkpoint.file_name(3)).unlink()
    script.check_folder(tmp_path, 1, 0.1, counts)
    assert f"{checkpoint.file_name(3)} was reported as saved, and is lost" in counts.faults


def test_an_incomplete_report_is_ignored(script, tmp_path):
    text = "2026-01-01 00:00:00 saved checkpoint-000000008.safetensors\n2026-01-01 00:00:01 saved checkpoint-0000"
    (tmp_path / "log.txt").write_text(text)
    assert script("processes").reported_saves(tmp_path) == [8]


def test_growth_after_the_warm_up_is_noticed(script):
    checks, usage = script("checks"), script("processes").Usage
    steady = [usage(float(at), 100_000_000 if at > 9 else 50_000_000, 30, 12) for at in range(100)]
    assert checks.resource_growth(steady, 10.0, True).faults() == []
    leaking = [usage(float(at), 100_000_000 + at * 100_000, 30 + at // 50, 12) for at in range(100)]
    assert checks.resource_growth(leaking, 10.0, True).faults() == [
        "resident memory grew by 8.0%",
        "open files grew from 30 to 31",
    ]
