"""`ganzoo import MODEL FILE`: a subcommand for each model that can import checkpoints of other programs."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder, ModelGroup, click_options, given_values
from ganzoo.errors import OptionError


class ImportGroup(ModelGroup):
    """Lists the models that can import checkpoints, and creates the command of a model on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(name for name, model in plugin_registry(ctx).models.items() if model.imports_weights())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        model = plugin_registry(ctx).model(name)
        if not model.imports_weights():
            supported = ", ".join(self.list_commands(ctx)) or "none"
            raise OptionError(f"{name} can't import checkpoints of other programs; models that can: {supported}.")
        return _command(model)


@click.group("import", cls=ImportGroup, subcommand_metavar="MODEL FILE [OPTIONS]")
def import_() -> None:
    """Turn another program's checkpoint into a run.

    Reads files written by torch.save (the current format, or the one before PyTorch 1.6) or jt.save, and plain pickles
    of NumPy arrays, without PyTorch and without running code in them. `ganzoo generate` can sample the run, and
    `ganzoo train MODEL --resume` can continue its training.
    """


def _command(model: Any) -> click.Command:
    argument = click.Argument(["file"], type=click.Path(dir_okay=False))
    experiments = click.Option(["--experiments"], type=Folder(), default="experiments", help="Folder of all runs.")

    @click.pass_context
    def run(ctx: click.Context, /, **values: Any) -> None:
        _import(model, values)

    text = f"Import a checkpoint of {model.summary}.\n\n{inspect.getdoc(model.import_weights) or ''}"
    domains = click.Option(
        ["--domains"], metavar="LIST", help="Names of the domains, in the order of the file, e.g. cat,dog,wild."
    )
    extra = [domains] if model.conditional else []
    params: list[click.Parameter] = [argument, *click_options(model.options, {}), *extra, experiments]
    return click.Command(model.name, params=params, callback=run, help=text, short_help=model.summary)


def _import(model: Any, values: dict[str, Any]) -> None:
    from ganzoo.training.importing import import_checkpoint

    listed = values.get("domains")
    domains = [] if listed is None else [name.strip() for name in listed.split(",")]
    options = given_values(model.options, values)
    imported = import_checkpoint(model, Path(values["file"]), options, Path(values["experiments"]), domains)
    for line in imported.found:
        click.echo(line)
    name = imported.run.path.name
    where = "" if values["experiments"] == "experiments" else f" --experiments {shlex.quote(values['experiments'])}"
    click.echo(f"imported: {imported.run.path}")
    click.echo(f"Sample it with: ganzoo generate {name}{' --source IMAGE' if imported.translates else ''}{where}")
    click.echo(f"Continue training with: ganzoo train {model.name} --resume {name} --data DATA{where}")
