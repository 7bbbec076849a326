"""Bundled plugin: write TensorBoard events beside stats.jsonl if the extra `tensorboard` is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganzoo import hookimpl

_writers: dict[Path, Any] = {}  # None until the first tick


@hookimpl
def ganzoo_run_start(run: Path, options: dict[str, Any]) -> None:
    if find_spec("tensorboardX") is not None:
        _writers[run] = None


@hookimpl
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> None:
    if run not in _writers:
        return
    if _writers[run] is None:
        from tensorboardX import SummaryWriter  # imported late, because it imports PyTorch, which takes a second

        _writers[run] = SummaryWriter(str(run))
    for name, value in stats["losses"].items():
        _writers[run].add_scalar(f"loss/{name}", value, stats["images"])
    for name, value in stats.get("metrics", {}).items():
        _writers[run].add_scalar(f"metric/{name}", value, stats["images"])
    for name in ("images_per_second", "memory_bytes"):
        _writers[run].add_scalar(name, stats[name], stats["images"])
    _writers[run].flush()


@hookimpl
def ganzoo_run_end(run: Path, outcome: str) -> None:
    writer = _writers.pop(run, None)
    if writer is not None:
        writer.close()
