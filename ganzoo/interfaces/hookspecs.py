"""What a plugin can add, as pluggy hook specifications. Implement with `@ganzoo.hookimpl` in the module that
your package names in the entry-point group `ganzoo`.

Keep that module light: it is imported for every `--help`. Jittor comes in inside `Model.build`.

A hook may take fewer arguments than are listed here. One that raises is reported (by `ganzoo plugins`, or in the
run's log) and stops neither the other plugins nor the training. Hook wrappers are not supported.
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
    """Models to offer: instances of `ganzoo.Model`. A name that is taken is left out; bundled models come first."""


@hookspec
def ganzoo_datasets() -> Iterable[DataSource]:
    """Named data sets to offer: instances of `ganzoo.DataSource`."""


@hookspec
def ganzoo_metrics() -> Iterable[Metric]:
    """Metrics of generated images to offer: instances of `ganzoo.Metric`."""


@hookspec
def ganzoo_commands() -> Iterable[click.Command]:
    """Commands to add to `ganzoo`, under names that it does not use itself."""


@hookspec
def ganzoo_data_commands() -> Iterable[click.Command]:
    """Commands to add to `ganzoo data`, under names that it does not use itself."""


@hookspec
def ganzoo_run_start(run: Path, options: dict[str, Any]) -> None:
    """A run begins or is resumed in folder `run`; `options` is what its options.json holds."""


@hookspec
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> None:
    """A tick has ended; `stats` is the line just added to stats.jsonl (losses are means over the tick)."""


@hookspec
def ganzoo_run_end(run: Path, outcome: str) -> None:
    """A run has ended; `outcome` is 'finished', 'interrupted' or 'failed'."""
