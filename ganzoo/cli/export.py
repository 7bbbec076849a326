"""`ganzoo export`: write a run's networks to a file to share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import all_networks_option, experiments_option, run_argument


@click.command(short_help="Write a run's networks to a file to share.")
@run_argument
@click.option("--out", required=True, metavar="FILE", help="File to write; its name ends in .safetensors.")
@click.option("--slim", is_flag=True, help="Store weights as float16: half the size, and nearly the same images.")
@all_networks_option
@experiments_option
@click.pass_context
def export(ctx: click.Context, run: str | None, out: str, slim: bool, all_networks: bool, experiments: str) -> None:
    """Write a run's networks that generate images to a file. RUN can be a checkpoint; the default is the newest run.

    The file is a checkpoint without what only training needs. `ganzoo generate` and `ganzoo evaluate` take it in place
    of a run, and `ganzoo train --from` starts with its weights; training can't be resumed from it.
    """
    from ganzoo import backend
    from ganzoo.checkpoints import exporting
    from ganzoo.files import format_bytes

    registry, path = plugin_registry(ctx), Path(out)
    saved, _ = open_checkpoint(run, Path(experiments), registry, lambda *found: found, partial(click.echo, err=True))
    saved.model(registry)  # reports an unknown model before Jittor is started
    backend.start("cpu")
    exporting.export(saved, registry, path, slim=slim, all_networks=all_networks)
    before, after = saved.path.stat().st_size, path.stat().st_size
    click.echo(f"{path}: {format_bytes(after)} of the checkpoint's {format_bytes(before)}, from {saved.path}")
