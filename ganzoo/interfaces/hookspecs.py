"""Hooks that a plugin can implement, as pluggy hook specifications. Implement them with `@ganzoo.hookimpl` in the
module that your package lists in the entry-point group `ganzoo`.

Keep that module light, because every `--help` imports it. Import Jittor only inside `Model.build`.

An implementation may take fewer arguments than are listed here. If it raises, the error is reported (by `ganzoo
plugins`, or in the run's log), and the other plugins and the training continue. Hook wrappers are not supported.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from ganzoo.interfaces.dataset import DataSource
    from ganzoo.interfaces.metric import Metric
    from ganzoo.interfaces.model import Model

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")


@hookspec
def ganzoo_models() -> Iterable[Model]:
    """Return models to register: instances of `ganzoo.Model`. Bundled models are registered first, and a model whose
    name is taken is skipped."""


@hookspec
def ganzoo_datasets() -> Iterable[DataSource]:
    """Return named data sets to register: instances of `ganzoo.DataSource`."""


@hookspec
def ganzoo_metrics() -> Iterable[Metric]:
    """Return metrics of generated images to register: instances of `ganzoo.Metric`."""


@hookspec
def ganzoo_commands() -> Iterable[click.Command]:
    """Return commands to add to `ganzoo`. Their names must differ from those of ganzoo's own commands."""


@hookspec
def ganzoo_data_commands() -> Iterable[click.Command]:
    """Return commands to add to `ganzoo data`. Their names must differ from those of its own commands."""


@hookspec
def ganzoo_run_start(run: Path, options: dict[str, Any]) -> None:
    """Called when a run starts or resumes in folder `run`; `options` is the content of its options.json."""


@hookspec
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> None:
    """Called after each tick; `stats` is the line just added to stats.jsonl (losses are means over the tick)."""


@hookspec
def ganzoo_run_end(run: Path, outcome: str) -> None:
    """Called when a run has ended; `outcome` is 'finished', 'interrupted' or 'failed'."""
