"""`ganzoo train MODEL`: a subcommand per model, with the model's own options beside the common ones."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder, GroupedCommand, GroupedOption, click_options, given_values
from ganzoo.errors import DataError, OptionError, RunError, did_you_mean, is_out_of_memory, reason
from ganzoo.files import open_regular
from ganzoo.interfaces.options import changes, format_setting, options_by_name, refuse_without_effect, resolve
from ganzoo.interfaces.train_options import OTHER_NAMES, TrainOptions

EXPERIMENTS = "experiments"


class TrainGroup(click.Group):
    """Lists the models that plugins provide, and creates the command of a model on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(plugin_registry(ctx).models)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _command(plugin_registry(ctx).model(name))


@click.group(cls=TrainGroup, subcommand_metavar="MODEL [OPTIONS]")
def train() -> None:
    """Train a model, or continue a run with --resume.

    `ganzoo train MODEL --help` shows the model's own options. A run writes samples, loss curves, statistics and
    checkpoints to a numbered folder. Ctrl-C saves a checkpoint and stops.
    """


def _command(model: Any) -> click.Command:
    folder = Folder()
    run_options = [
        _run_option("--resume", metavar="RUN", help="Continue a run: its number, name or path, or 'latest'."),
        _run_option("--preset", metavar="|".join([*model.presets, "FILE"]), help=_preset_help(model)),
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
        other_names={**OTHER_NAMES, **model.other_names},
    )


def _run_option(flag: str, **settings: Any) -> GroupedOption:
    return GroupedOption([flag], group="Runs", **settings)


def _train(ctx: click.Context, model: Any, values: dict[str, Any]) -> None:
    from ganzoo import backend, distributed
    from ganzoo.training.resuming import check_restorable, check_resume, resumed_options

    preset = _read_preset(model, values["preset"]) if values["preset"] else {}
    chosen = {**given_values(TrainOptions, values), **given_values(model.options, values)}
    train_values = _options_of(TrainOptions, {**preset, **chosen})
    model_values = _options_of(model.options, {**preset, **chosen})
    experiments = Path(values["experiments"])
    resume, recorded_path = None, ""
    if values["resume"] is not None:
        resume = _run_to_resume(values["resume"], model.name, experiments)
        train_options, options, notes = resumed_options(resume, model, train_values, model_values)
        for note in notes:
            click.echo(note)
        if "data" not in train_values:
            recorded_path = _recorded_data(resume, plugin_registry(ctx))
    else:
        train_options = resolve(TrainOptions, train_values, model.defaults)
        options = resolve(model.options, model_values)
    _refuse_without_effect(model, train_options, options, chosen)
    backend.start(train_options.device, train_options.precision)
    plan = _make_plan(
        model,
        train_options,
        options,
        plugin_registry(ctx),
        new=resume is None,
        data_path=recorded_path,
        dry_run=values["dry_run"],
    )
    _refuse_without_effect(model, train_options, plan.options, chosen)
    if resume is not None:
        check_resume(plan, resume)
    _check_batch(plan, "batch" in chosen)
    if distributed.is_rank_zero():
        _print_notes(plan, options, chosen, backend.device())
    if values["dry_run"]:
        from ganzoo.training.dry_run import describe_plan

        if resume is not None:
            check_restorable(plan, resume)
        for line in describe_plan(plan):
            click.echo(line)
        return
    _run(ctx, plan, experiments, resume)


def _make_plan(*arguments: Any, **settings: Any) -> Any:
    from ganzoo.distributed import collectives
    from ganzoo.training.plan import make_plan  # not at the top: it requires that Jittor has been started

    with collectives.rank_zero_first():  # the first use of a data set may prepare it
        return make_plan(*arguments, **settings)


def _run(ctx: click.Context, plan: Any, experiments: Path, resume: Any) -> None:
    """Train, and print how to continue if training was stopped. Exits with the status of a signal if one did that."""
    from ganzoo.training.session import run_training  # not at the top: it requires that Jittor has been started

    try:
        run, stop = run_training(plan, plugin_registry(ctx), experiments, resume)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            "out of memory. Use a smaller --batch, --micro-batch or --size, or end other programs. A run that has a "
            "checkpoint can be continued with --resume."
        ) from error
    with contextlib.suppress(OSError):  # after SIGHUP, stdout may be closed
        if stop() or run:
            outcome = "interrupted" if stop() else "stopped" if stop.by_plugin else "finished"
            click.echo(f"{outcome}: {run.path if run else 'nothing was trained yet'}")
        if stop.requested() and run:
            name = run.path.name if run.path.parent == Path(EXPERIMENTS) else str(run.path)
            click.echo(f"Continue with: {shlex.join(['ganzoo', 'train', plan.model.name, '--resume', name])}")
    if stop():
        ctx.exit(stop.status)


def _refuse_without_effect(model: Any, train: TrainOptions, options: Any, chosen: dict[str, Any]) -> None:
    # Skip model options that are None: they may yet be resolved from the data, so their values are unknown.
    known = {name: value for name, value in options.to_dict().items() if value is not None}
    options = {**options_by_name(TrainOptions), **options_by_name(model.options)}
    refuse_without_effect(options, {**train.to_dict(), **known}, chosen)
    best = train.keep_best or ""
    if best.startswith("metrics/") and not train.evaluate_every:
        raise OptionError(f"--keep-best {best} needs --evaluate-every: without it nothing is measured.")


def _check_batch(planned: Any, chosen: bool) -> None:
    """Raise OptionError if --micro-batch is too large, or if the model ignores a --batch that the user chose."""
    model, train = planned.model, planned.train
    stages = planned.schedule.stages
    largest = max(stage.batch for stage in stages)
    if train.micro_batch and train.micro_batch > largest:
        raise OptionError(f"--micro-batch: {train.micro_batch} is more than --batch {largest}.")
    doubled = dataclasses.replace(train, batch=2 * train.batch)
    if chosen and tuple(model.stages(planned.options, doubled, planned.data)) == stages:
        batches = ", ".join(str(stage.batch) for stage in stages)
        raise OptionError(
            f"--batch has no effect: with these options {model.name} sets the images per update itself ({batches})."
        )


def _print_notes(planned: Any, options: Any, chosen: dict[str, Any], device: str) -> None:
    """Print the options that were resolved from the data, and warnings."""
    from ganzoo.backend.environment import amx_available

    resolved = [format_setting(name, new) for name, (_, new) in changes(options, planned.options).items()]
    if resolved:
        click.echo(f"chosen for {planned.data.name}: {', '.join(resolved)}")
    if device == "cpu" and "precision" not in chosen and planned.train.precision != "amp" and amx_available():
        click.echo("this processor has AMX: --precision amp (bfloat16 convolutions) trains faster")
    for warning in planned.warnings:
        click.echo(f"warning: {warning}", err=True)


def _run_to_resume(requested: str, model: str, experiments: Path) -> Any:
    """Return the run named by --resume. RunError if there is none, or if a named checkpoint is not the run's newest."""
    from ganzoo import runs
    from ganzoo.checkpoints import checkpoint

    if requested == "latest":
        return _latest(model, experiments) or runs.find(requested, experiments)
    path = Path(requested)
    if path.suffix != checkpoint.SUFFIX and not path.name.startswith("checkpoint-"):
        return runs.find(requested, experiments)
    run = runs.find(str(path.parent), experiments)
    named = {name: each for each in checkpoint.list_checkpoints(run.path) for name in (each.name, each.stem)}
    newest = checkpoint.newest(run.path)
    if newest is None or path.name not in named:
        available = f"its newest is {newest.name}" if newest else "it has none yet"
        raise RunError(f"--resume {requested}: {run.path.name} has no such checkpoint; {available}.")
    if named[path.name] != newest:
        raise RunError(
            f"--resume {requested}: a run continues from its newest checkpoint, {newest.name}. To continue from an "
            "older one, copy the folder and delete the newer ones."
        )
    return run


def _latest(model: str, experiments: Path) -> Any:
    """Return a model's newest run with a checkpoint, else its newest run; None if the model has no run."""
    from ganzoo import runs
    from ganzoo.checkpoints import checkpoint

    candidates = [run for run in reversed(runs.list_runs(experiments)) if _model_of(run) == model]
    with_checkpoint = next((run for run in candidates if checkpoint.newest(run.path)), None)
    for run in candidates[: candidates.index(with_checkpoint)] if with_checkpoint else ():
        click.echo(f"skipping {run.path.name}: it has no checkpoint")
    return with_checkpoint or next(iter(candidates), None)


def _model_of(run: Any) -> str | None:
    with contextlib.suppress(RunError):  # a damaged run has no known model
        return str(run.description().model)
    return None


def _recorded_data(run: Any, plugins: Any) -> str:
    """Return the location of a run's data. DataError if the data are gone, OptionError if no location is recorded."""
    from ganzoo.data.catalog import training_data_of

    try:
        description = run.description()
        return training_data_of(description.data_name, description.data_path, plugins)
    except (DataError, OptionError) as error:
        raise type(error)(f"{run.path}: {error}") from error


def _preset_help(model: Any) -> str:
    return "Options from a TOML file" + (
        f", or a preset of the model: {', '.join(model.presets)}." if model.presets else "."
    )


def _read_preset(model: Any, path: str) -> dict[str, Any]:
    if path in model.presets:
        return {name.replace("-", "_"): value for name, value in model.presets[path].items()}
    # tomllib is new in Python 3.11; tomli is its backport.
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        with open_regular(path) as file:
            preset = tomllib.loads(file.read().decode("utf-8-sig"))  # some editors write a byte order mark
    except OSError as error:
        available = f"its presets are {', '.join(model.presets)}" if model.presets else "it has no presets"
        if isinstance(error, FileNotFoundError):
            problem = f"{model.name} has no such preset ({available}), and there is no such file."
        else:
            problem = f"can't be read ({reason(error)})."
        raise OptionError(f"--preset {path}: {problem}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"--preset {path}: not TOML (not UTF-8 text; save it as UTF-8).") from error
    except (ValueError, RecursionError) as error:  # invalid TOML, too long a number, or lists nested too deeply
        raise OptionError(f"--preset {path}: not TOML ({error}).") from error
    known = [*options_by_name(TrainOptions), *options_by_name(model.options)]
    for name in preset:
        if name.replace("-", "_") not in known:
            raise OptionError(f"--preset {path}: unknown option {name!r}.{did_you_mean(name.replace('-', '_'), known)}")
    return {name.replace("-", "_"): value for name, value in preset.items()}


def _options_of(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in options_by_name(cls) if name in values}
