"""A bundled plugin: TensorBoard events beside stats.jsonl, where the extra `tensorboard` is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganzoo.hookspecs import hookimpl

_writers: dict[Path, Any] = {}


@hookimpl
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> None:
    if find_spec("tensorboardX") is None:
        return
    if run not in _writers:
        from tensorboardX import SummaryWriter  # takes a second, as it imports PyTorch: not before the first step

        _writers[run] = SummaryWriter(str(run))
    for name, value in stats["losses"].items():
        _writers[run].add_scalar(f"loss/{name}", value, stats["images"])
    for name in ("images_per_second", "memory_bytes"):
        _writers[run].add_scalar(name, stats[name], stats["images"])
    _writers[run].flush()


@hookimpl
def ganzoo_run_end(run: Path, outcome: str) -> None:
    if run in _writers:
        _writers.pop(run).close()
