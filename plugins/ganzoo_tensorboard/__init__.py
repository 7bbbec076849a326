"""Bundled plugin: write TensorBoard events beside stats.jsonl if the extra `tensorboard` is installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganzoo import hookimpl

_writers: dict[Path, Any] = {}  # None until the first event


def _writer(run: Path) -> Any:
    """Return the run's writer, None if the extra is not installed."""
    if run in _writers and _writers[run] is None:
        _writers[run] = _writer_class()(str(run))
    return _writers.get(run)


def _writer_class() -> Any:
    """Return SummaryWriter of tensorboardX. It would import PyTorch if that is installed, which takes a second and
    200 MB, and which it needs only for PyTorch's tensors."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


@hookimpl
def ganzoo_run_start(run: Path, options: dict[str, Any]) -> None:
    if find_spec("tensorboardX") is not None:
        _writers[run] = None


@hookimpl
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> None:
    writer = _writer(run)
    if writer is None:
        return
    for name, value in stats["losses"].items():
        writer.add_scalar(f"loss/{name}", value, stats["images"])
    for name, value in stats.get("metrics", {}).items():
        writer.add_scalar(f"metric/{name}", value, stats["images"])
    for name in ("images_per_second", "memory_bytes"):
        writer.add_scalar(name, stats[name], stats["images"])
    writer.flush()


@hookimpl
def ganzoo_pictures(run: Path, paths: list[Path], images: int) -> None:
    writer = _writer(run)
    if writer is None:
        return
    import numpy as np
    from PIL import Image

    for path in paths:
        name = path.stem.replace(f"-{images:09d}", "")  # samples-000004000-cycle is samples-cycle at 4000
        with Image.open(path) as picture:
            writer.add_image(name, np.asarray(picture.convert("RGB")), images, dataformats="HWC")


@hookimpl
def ganzoo_run_end(run: Path, outcome: str) -> None:
    writer = _writers.pop(run, None)
    if writer is not None:
        writer.close()
