"""`ganzoo push`: upload a run to Hugging Face."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli import completion
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import all_networks_option, dataset_option, experiments_option, license_option


@click.command(short_help="Upload a run to Hugging Face.")
@click.argument("run", metavar="RUN|CHECKPOINT", shell_complete=completion.checkpoint_names)
@click.argument("repository", metavar="USER/NAME")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--slim", is_flag=True, help="Store weights as float16, as in `ganzoo export`.")
@all_networks_option
@license_option
@dataset_option
@experiments_option
@click.pass_context
def push(
    ctx: click.Context,
    run: str,
    repository: str,
    private: bool,
    slim: bool,
    all_networks: bool,
    license: str | None,
    dataset: tuple[str, ...],
    experiments: str,
) -> None:
    """Upload what a run or a checkpoint needs to generate images to the repository USER/NAME on Hugging Face.

    The repository is created if there is none. It gets the file that `ganzoo export` writes, a card (README.md in the
    run's folder, with your edits, if `ganzoo card` has written one; otherwise a new one) and a sheet of samples. Others
    then use hf:USER/NAME in place of a run. The same upload again changes nothing.

    Needs the extra `hub`, and a token that can write: log in with `hf auth login`, or set HF_TOKEN.
    """
    from ganzoo.sharing.card import CardOptions
    from ganzoo.sharing.push import push as upload

    registry, say = plugin_registry(ctx), partial(click.echo, err=True)
    saved, folder = open_checkpoint(run, Path(experiments), registry, lambda *found: found, say)
    saved.model(registry)  # reports an unknown model before Jittor is started
    options = CardOptions(license, dataset)
    content = {"slim": slim, "all_networks": all_networks}
    result = upload(saved, folder, registry, repository, options, private=private, **content, device="cpu", say=say)
    click.echo(f"{'uploaded to' if result.changed else 'nothing has changed at'} {result.url}, from {saved.path}")
