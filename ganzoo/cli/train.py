"""`ganzoo train MODEL`: a subcommand per model, with the model's own options beside the common ones."""

from __future__ import annotations

import contextlib
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click

from ganzoo.cli import completion
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder, GroupedCommand, GroupedOption, ModelGroup, click_options, given_values
from ganzoo.errors import OptionError
from ganzoo.interfaces.train_options import OPTION_HINTS, TrainOptions

EXPERIMENTS = "experiments"


class TrainGroup(ModelGroup):
    """Lists the models that plugins provide, and creates the command of a model on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(plugin_registry(ctx).models)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _command(plugin_registry(ctx).model(name))


@click.group(
    cls=TrainGroup, subcommand_metavar="MODEL [OPTIONS]", short_help="Train a model, or continue a run with --resume."
)
def train() -> None:
    """Train a model, continue a run with --resume, or start a run with the weights of another with --from.

    `ganzoo train MODEL --help` shows the model's own options. A run writes samples, loss curves, statistics and
    checkpoints to a numbered folder. Ctrl-C saves a checkpoint and stops.
    """


def _command(model: Any) -> click.Command:
    folder = Folder()
    run_options = [
        _run_option(
            "--resume",
            metavar="RUN",
            help="Continue a run: its number, name or path, or 'latest'.",
            shell_complete=completion.run_names,
        ),
        _run_option(
            "--other-data",
            is_flag=True,
            help="With --resume and --data, go on though these are other data than before.",
        ),
        _run_option(
            "--from",
            "source",
            metavar="RUN|CHECKPOINT|zoo:NAME",
            help="Start a new run with the weights of a run, a checkpoint or a trained model.",
            shell_complete=completion.checkpoint_names,
        ),
        _run_option(
            "--preset",
            metavar="|".join([*model.presets, "FILE"]),
            help=_preset_help(model),
            shell_complete=completion.preset_names(model),
        ),
        _run_option("--experiments", type=folder, default=EXPERIMENTS, help="Folder of all runs."),
        _run_option(
            "--dry-run", is_flag=True, help="Show what would be trained, without training or writing anything."
        ),
    ]
    common = click_options(TrainOptions, dict(model.defaults))
    model_options = click_options(model.options, {})

    @click.pass_context
    def run(ctx: click.Context, /, **values: Any) -> None:
        if ctx.args:
            raise OptionError(f"{ctx.args[0]!r} is an unexpected argument. Use --data to name the data.")
        _train(ctx, model, values)

    text = f"Train {model.summary}.\n\n{model.paper}"
    return GroupedCommand(
        model.name,
        params=[*model_options, *common, *run_options],
        callback=run,
        context_settings={"allow_extra_args": True},
        help=text,
        short_help=model.summary,
        heading=f"Options of {model.name}",
        option_hints={**OPTION_HINTS, **model.option_hints},
    )


def _run_option(*names: str, **settings: Any) -> GroupedOption:
    return GroupedOption(names, group="Runs", **settings)


def _train(ctx: click.Context, model: Any, values: dict[str, Any]) -> None:
    from ganzoo.training.launch import Request, plan_training

    chosen = {**given_values(TrainOptions, values), **given_values(model.options, values)}
    experiments, dry_run = Path(values["experiments"]), values["dry_run"]
    request = Request(
        model, chosen, values["preset"], values["resume"], experiments, values["source"], values["other_data"]
    )
    plan, resume = plan_training(
        request, plugin_registry(ctx), click.echo, partial(click.echo, err=True), dry_run=dry_run
    )
    if dry_run:
        from ganzoo.training.dry_run import describe_plan

        for line in describe_plan(plan):
            click.echo(line)
        return
    _run(ctx, plan, experiments, resume)


def _run(ctx: click.Context, plan: Any, experiments: Path, resume: Any) -> None:
    """Train, and print how to continue if training was stopped. Exits with the status of a signal if one did that."""
    from ganzoo.training.launch import run_plan

    run, stop = run_plan(plan, plugin_registry(ctx), experiments, resume)
    with contextlib.suppress(OSError):  # after SIGHUP, stdout may be closed
        if stop() or run:
            outcome = "interrupted" if stop() else "stopped" if stop.by_plugin else "finished"
            click.echo(f"{outcome}: {run.path if run else 'nothing was trained yet'}")
        if stop.requested() and run:
            name = run.path.name if run.path.parent == Path(EXPERIMENTS) else str(run.path)
            click.echo(f"Continue with: {shlex.join(['ganzoo', 'train', plan.model.name, '--resume', name])}")
    if stop():
        ctx.exit(stop.status)


def _preset_help(model: Any) -> str:
    return "Options from a TOML file" + (
        f", or a preset of the model: {', '.join(model.presets)}." if model.presets else "."
    )
