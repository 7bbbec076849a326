"""A bundled plugin writes TensorBoard events."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import ganzoo_tensorboard as tensorboard
import pytest
from PIL import Image

from ganzoo.registry import plugins

STATS = {"images": 640, "losses": {"generator/adversarial": 0.25}, "images_per_second": 90.0, "memory_bytes": 10**8}


def run_events(folder):
    registry = plugins.load()
    assert not registry.notify("ganzoo_run_start", run=folder, options={}, step=0, images=0)
    assert not registry.notify("ganzoo_tick", run=folder, stats=STATS)
    sheet = folder / "samples-000000640-cycle.png"
    Image.new("L", (8, 4)).save(sheet)
    assert not registry.notify("ganzoo_pictures", run=folder, paths=[sheet], images=640)
    sheet.unlink()
    assert not registry.notify("ganzoo_run_end", run=folder, outcome="finished")


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="needs the extra 'tensorboard'")
def test_events_contain_losses_speed_and_sheets(tmp_path):
    run_events(tmp_path)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    content = file.read_bytes()
    assert b"loss/generator/adversarial" in content
    assert b"images_per_second" in content
    assert b"samples-cycle" in content
    assert b"PNG" in content


# Writes events where PyTorch, or what stands for it here, is installed.
WRITING = """
import sys
from pathlib import Path
import ganzoo_tensorboard as tensorboard
tensorboard.ganzoo_run_start(Path.cwd(), {})
tensorboard.ganzoo_tick(Path.cwd(), {"images": 640, "losses": {}, "images_per_second": 90.0, "memory_bytes": 10**8})
print("torch" in sys.modules)
import torch
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="needs the extra 'tensorboard'")
def test_pytorch_is_not_imported_but_can_be(tmp_path):
    (tmp_path / "torch.py").write_text("class Tensor: pass")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", WRITING], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("False\n", "", 0)
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    run_events(tmp_path)
    assert not list(tmp_path.iterdir())
