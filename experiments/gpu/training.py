"""Draws data sets for training, and exports what was trained."""

from __future__ import annotations

import time
from pathlib import Path

import kit


def draw(*names: str) -> None:
    """Draw data sets, without Jittor."""
    from ganzoo.registry import plugins

    for name in names:
        began = time.perf_counter()
        data = plugins.load().dataset(name).open()
        kit.report("data", name=name, seconds=time.perf_counter() - began, images=len(data))


def export(run: str, path: str) -> None:
    """Write the networks of a run that generate images, as `ganzoo export --slim` does. That command starts Jittor on
    the CPU, which needs libraries that the GPU machine lacks."""
    from ganzoo.checkpoints import checkpoint

    kit.start(kit.DEFAULT_PRECISION)
    from ganzoo.checkpoints import exporting
    from ganzoo.registry import plugins

    saved = checkpoint.read(checkpoint.newest(Path(run)))
    exporting.export(saved, plugins.load(), Path(path), slim=True)
