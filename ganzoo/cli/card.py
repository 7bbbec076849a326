"""`ganzoo card`: describe a run in a README.md, as Hugging Face reads it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import dataset_option, experiments_option, license_option, run_argument


@click.command(short_help="Describe a run in a README.md, as Hugging Face reads it.")
@run_argument
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="File to write.  [default: README.md]")
@license_option
@dataset_option
@experiments_option
@click.pass_context
def card(
    ctx: click.Context,
    run: str | None,
    out: str | None,
    license: str | None,
    dataset: tuple[str, ...],
    experiments: str,
) -> None:
    """Describe a run or a checkpoint in a Markdown file; the newest run if none is named.

    The card has the run's samples, options, data, length of training and metrics, says how to use the model, and begins
    with metadata for Hugging Face. It is written to the run's folder, with a sheet of samples beside it. You may edit
    it: `ganzoo push` uploads it as it is.
    """
    from ganzoo.sharing.card import CardOptions
    from ganzoo.sharing.files import write_card

    options = CardOptions(license, dataset)
    options.check()
    registry, say = plugin_registry(ctx), partial(click.echo, err=True)
    saved, folder = open_checkpoint(run, Path(experiments), registry, lambda *found: found, say)
    saved.model(registry)  # reports an unknown model before anything is written
    for path in write_card(saved, folder, registry, options, None if out is None else Path(out), "cpu"):
        click.echo(f"{path} (from {saved.path.name})" if path.suffix == ".md" else path)
