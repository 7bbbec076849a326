"""Hooks that a plugin can implement, as pluggy hook specifications. Implement them with `@ganzoo.hookimpl` in the
module that your package lists in the entry-point group `ganzoo`.

Keep that module light, because every `--help` imports it. Import Jittor only inside `Model.build`.

An implementation may take fewer arguments than are listed here. If it raises, the error is reported (by `ganzoo
plugins`, or in the run's log), and the other plugins and the training continue. Hook wrappers are not supported.

`ganzoo_tick`, `ganzoo_checkpoint`, `ganzoo_evaluation` and `ganzoo_pictures` can end training: if one returns a string,
the reason, training ends after the current step with a checkpoint, as with Ctrl-C, but with exit status 0. The run can
be resumed.
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
    from ganzoo.interfaces.zoo import ZooModel

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
def ganzoo_zoo_models() -> Iterable[ZooModel]:
    """Return trained models to register: instances of `ganzoo.ZooModel`, as `ganzoo.zoo_models` reads them from a
    folder of the package."""


@hookspec
def ganzoo_commands() -> Iterable[click.Command]:
    """Return commands to add to `ganzoo`. Their names must differ from those of ganzoo's own commands."""


@hookspec
def ganzoo_data_commands() -> Iterable[click.Command]:
    """Return commands to add to `ganzoo data`. Their names must differ from those of its own commands."""


@hookspec
def ganzoo_run_start(run: Path, options: dict[str, Any], step: int, images: int) -> None:
    """Called when a run starts or resumes in folder `run`, after `step` steps and `images` images (0 for a new run);
    `options` is the content of its options.json."""


@hookspec
def ganzoo_tick(run: Path, stats: dict[str, Any]) -> str | None:
    """Called after each tick; `stats` is the line just added to stats.jsonl (losses are means over the tick). Return a
    reason to end training, or None."""


@hookspec
def ganzoo_checkpoint(run: Path, path: Path, images: int) -> str | None:
    """Called when a checkpoint of the run after `images` images is on disk, at `path`: after the current step, since
    checkpoints are written in the background. Return a reason to end training, or None."""


@hookspec
def ganzoo_evaluation(run: Path, metrics: dict[str, float], images: int) -> str | None:
    """Called when metrics have been measured after `images` images; `metrics` are the values by name, as in
    stats.jsonl. Return a reason to end training, or None."""


@hookspec
def ganzoo_pictures(run: Path, paths: list[Path], images: int) -> str | None:
    """Called when sheets of samples, translations or real images have been written to the PNG files `paths`, after
    `images` images. Return a reason to end training, or None."""


@hookspec
def ganzoo_run_end(run: Path, outcome: str) -> None:
    """Called when a run has ended; `outcome` is 'finished', 'interrupted' (by a signal), 'stopped' (by a plugin) or
    'failed'."""
