"""A bundled plugin writes TensorBoard events."""

from __future__ import annotations

import importlib.util

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


def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    run_events(tmp_path)
    assert not list(tmp_path.iterdir())
