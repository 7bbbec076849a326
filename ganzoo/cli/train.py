"""`ganzoo train MODEL`: a sub-command per model, with the model's own options beside the common ones."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ganzoo.cli import registry
from ganzoo.cli.params import click_options, given
from ganzoo.errors import OptionError, near_match
from ganzoo.options import describe, resolve
from ganzoo.paths import open_regular
from ganzoo.training.options import TrainOptions


class TrainGroup(click.Group):
    """Lists the models that plugins offer, and makes the command of one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(registry(ctx).models)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _command(registry(ctx).model(name))


@click.group(cls=TrainGroup, subcommand_metavar="MODEL [OPTIONS]")
def train() -> None:
    """Train a model, or continue a run with --resume.

    `ganzoo train MODEL --help` shows the model's own options. Leaves a numbered folder with samples, loss curves,
    statistics and checkpoints. Ctrl-C ends it with a checkpoint.
    """


def _command(model: Any) -> click.Command:
    own = [
        click.Option(["--resume"], metavar="RUN", help="Continue a run: its number, name or path, or 'latest'."),
        click.Option(["--preset"], metavar="|".join([*model.presets, "FILE"]), help=_about_presets(model)),
        click.Option(
            ["--experiments"], type=click.Path(file_okay=False), default="experiments", help="Where runs are kept."
        ),
        click.Option(["--dry-run"], is_flag=True, help="Show what would be trained; run nothing, leave nothing."),
    ]
    common = click_options(TrainOptions, dict(model.defaults))
    specific = click_options(model.options, {})

    @click.pass_context
    def run(ctx: click.Context, /, **values: Any) -> None:
        _train(ctx, model, values)

    text = f"Train {model.summary}.\n\n{model.paper}"
    return click.Command(
        model.name, params=[*specific, *common, *own], callback=run, help=text, short_help=model.summary
    )


def _train(ctx: click.Context, model: Any, values: dict[str, Any]) -> None:
    from ganzoo import backend, ranks, runs
    from ganzoo.training.resuming import check_resume, resumed_options

    preset = _read_preset(model, values["preset"]) if values["preset"] else {}
    train_values = {**_belonging(TrainOptions, preset), **given(TrainOptions, values)}
    model_values = {**_belonging(model.options, preset), **given(model.options, values)}
    experiments = Path(values["experiments"])
    resume = None
    if values["resume"] is not None:
        resume = _latest(model.name, experiments) if values["resume"] == "latest" else None
        resume = resume or runs.find(values["resume"], experiments)
        train_options, options, notes = resumed_options(resume, model, train_values, model_values)
        for note in notes:
            click.echo(note)
    else:
        train_options = resolve(TrainOptions, train_values, model.defaults)
        options = resolve(model.options, model_values)
    backend.start(train_options.device, train_options.precision)
    from ganzoo.training.session import plan, run_training  # not above: it starts Jittor on whatever device there is

    with ranks.in_turn():  # the first use of a data set may prepare it
        planned = plan(model, train_options, options, registry(ctx), new=resume is None)
    if resume is not None:
        check_resume(planned, resume)
    stages = model.stages(planned.options, train_options, planned.data)
    largest = max(stage.micro_batch or stage.batch for stage in stages)
    if train_options.micro_batch and train_options.micro_batch > largest:
        raise OptionError(f"--micro-batch: {train_options.micro_batch} is more than --batch {largest}.")
    for warning in planned.warnings if ranks.leads() else ():
        click.echo(f"warning: {warning}", err=True)
    if values["dry_run"]:
        from ganzoo.training.dry_run import describe as describe_plan

        for line in describe_plan(planned):
            click.echo(line)
        return
    run, stop = run_training(planned, registry(ctx), experiments, resume)
    with contextlib.suppress(OSError):  # after SIGHUP there may be nobody to tell
        click.echo(f"{'interrupted' if stop() else 'finished'}: {run.path if run else 'nothing was trained yet'}")
        if stop() and run:
            click.echo(f"Continue with: ganzoo train {model.name} --resume {run.path.name}")
    if stop():
        ctx.exit(stop.status)


def _latest(model: str, experiments: Path) -> Any:
    from ganzoo import runs

    return next((run for run in reversed(runs.every(experiments)) if run.options()["model"] == model), None)


def _about_presets(model: Any) -> str:
    return "Options from a TOML file" + (f", or the model's own: {', '.join(model.presets)}." if model.presets else ".")


def _read_preset(model: Any, path: str) -> dict[str, Any]:
    if path in model.presets:
        return {name.replace("-", "_"): value for name, value in model.presets[path].items()}
    # tomllib came with Python 3.11; tomli is the same code as a package.
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        with open_regular(path) as file:
            preset = tomllib.load(file)
    except OSError as error:
        own = f" {model.name} has the presets {', '.join(model.presets)}." if model.presets else ""
        raise OptionError(f"--preset {path}: can't be read ({error.strerror}).{own}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number too long, or lists in lists in lists
        raise OptionError(f"--preset {path}: not TOML ({error}).") from error
    known = [*describe(TrainOptions), *describe(model.options)]
    for name in preset:
        if name.replace("-", "_") not in known:
            raise OptionError(f"--preset {path}: unknown option {name!r}.{near_match(name.replace('-', '_'), known)}")
    return {name.replace("-", "_"): value for name, value in preset.items()}


def _belonging(cls: Any, preset: dict[str, Any]) -> dict[str, Any]:
    return {name: preset[name] for name in describe(cls) if name in preset}
