"""From the options that a user gives, on the command line or in Python, to a plan and its training."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import backend, distributed, runs
from ganzoo.backend import environment
from ganzoo.checkpoints import checkpoint, hub
from ganzoo.checkpoints.zoo import PREFIX
from ganzoo.data.catalog import training_data_of
from ganzoo.distributed import collectives
from ganzoo.errors import DataError, OptionError, RunError, did_you_mean, is_out_of_memory, reason
from ganzoo.files import open_regular
from ganzoo.interfaces.options import changes, format_setting, options_by_name, refuse_without_effect, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training.resuming import check_restorable, check_resume, check_same_data, resumed_options
from ganzoo.training.transfer_plan import has_pretrained, network_options, open_source, start_from

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options
    from ganzoo.registry.plugins import Registry
    from ganzoo.training.plan import Plan

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to train: the options that the user gave, by name and with any value, over those of a preset (its name, or
    the path of a TOML file). `resume` names the run to continue, also with `other_data`; `source` the run or checkpoint
    whose weights a new run starts with."""

    model: Model
    chosen: dict[str, Any]
    preset: str | None = None
    resume: str | None = None
    experiments: Path = Path("experiments")
    source: str | None = None
    other_data: bool = False

    def given(self) -> dict[str, Any]:
        """Return the given options, including those of the preset. OptionError if the preset can't be read."""
        return {**(read_preset(self.model, self.preset) if self.preset else {}), **self.chosen}


def plan_training(
    request: Request, registry: Registry, say: Say, warn: Say, *, dry_run: bool = False
) -> tuple[Plan, Run | None]:
    """Start Jittor, and return the plan and the run to resume, if any. `say` gets what was chosen and what changed,
    `warn` the warnings. With `dry_run`, nothing is prepared or written. Raises OptionError, DataError, RunError or
    BackendError if the run can't work."""
    model, resume, recorded_path = request.model, None, ""
    given, saved = request.given(), None
    _check_request(request, given)
    train_values, model_values = select_options(TrainOptions, given), select_options(model.options, given)
    if request.resume is not None:
        resume = _run_to_resume(request.resume, model.name, request.experiments, say)
        train_options, options, notes = resumed_options(resume, model, train_values, model_values)
        for note in notes:
            say(note)
        if "data" not in train_values:
            recorded_path = _recorded_data(resume, registry)
    else:
        if request.source is not None:
            saved = open_source(request.source, model, request.experiments, registry, warn)
            model_values = {**network_options(saved, model), **model_values}
        train_options = resolve(TrainOptions, train_values, model.defaults)
        options = resolve(model.options, model_values)
        if train_options.freeze_d and saved is None:
            raise OptionError("--freeze-d needs --from: without it, the discriminator's first layers are random.")
    _refuse_without_effect(model, train_options, options, request.chosen)
    backend.start(train_options.device, train_options.precision)
    from ganzoo.training.plan import make_plan  # not at the top: it requires that Jittor has been started

    pretrained = saved is None or not has_pretrained(saved, model)
    with collectives.rank_zero_first():  # the first use of a data set may prepare it
        plan = make_plan(
            model,
            train_options,
            options,
            registry,
            new=resume is None,
            data_path=recorded_path,
            dry_run=dry_run,
            pretrained=pretrained,
        )
    _refuse_without_effect(model, train_options, plan.options, request.chosen)
    if resume is not None:
        plan = _continued(plan, resume, same_data="data" in given and not request.other_data)
    elif saved is not None:
        plan = start_from(plan, saved, str(request.source), pretrained)
    _check_batch(plan, "batch" in request.chosen)
    if distributed.is_rank_zero():
        _say_choices(plan, options, request.chosen, say, warn)
    if dry_run and resume is not None:
        check_restorable(plan, resume)
    return plan, resume


def _check_request(request: Request, given: dict[str, Any]) -> None:
    if request.resume is not None and request.source is not None:
        raise OptionError("--from starts a new run, and --resume continues one. Give one of them.")
    if request.other_data and (request.resume is None or "data" not in given):
        raise OptionError("--other-data has no effect without --resume and --data.")


def _continued(plan: Plan, run: Run, same_data: bool) -> Plan:
    """Return the plan of a run that is resumed, with its lineage. OptionError if the run can't be resumed so; with
    `same_data`, if the data are others."""
    check_resume(plan, run)
    if same_data:
        check_same_data(plan, run)
    lineage = run.description().lineage
    if plan.train.freeze_d and lineage is None:
        raise OptionError("--freeze-d: it is for runs that were started with --from; this one was not.")
    return dataclasses.replace(plan, lineage=lineage)


def run_plan(plan: Plan, registry: Registry, experiments: Path, resume: Run | None) -> tuple[Run | None, Stop]:
    """Train, as `run_training` does. RunError if memory runs out."""
    from ganzoo.training.session import run_training  # not at the top: it requires that Jittor has been started

    try:
        return run_training(plan, registry, experiments, resume)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            "out of memory. Use a smaller --batch, --micro-batch or --size, or end other programs. A run that has a "
            "checkpoint can be continued with --resume."
        ) from error


def _refuse_without_effect(model: Any, train: TrainOptions, options: Any, chosen: dict[str, Any]) -> None:
    # Skip model options that are None: they may yet be resolved from the data, so their values are unknown.
    known = {name: value for name, value in options.to_dict().items() if value is not None}
    options = {**options_by_name(TrainOptions), **options_by_name(model.options)}
    refuse_without_effect(options, {**train.to_dict(), **known}, chosen)
    best = train.keep_best or ""
    if best.startswith("metrics/") and not train.evaluate_every:
        raise OptionError(f"--keep-best {best} needs --evaluate-every: without it nothing is measured.")


def _check_batch(planned: Plan, chosen: bool) -> None:
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


def _say_choices(planned: Plan, options: Any, chosen: dict[str, Any], say: Say, warn: Say) -> None:
    """Say how the data are read, which options were resolved from them, and the warnings."""
    for note in planned.dataset.notes:
        say(f"{planned.data.name}: {note}")
    for line in planned.transfer.lines if planned.transfer else ():
        say(line)
    resolved = [format_setting(name, new) for name, (_, new) in changes(options, planned.options).items()]
    if resolved:
        say(f"chosen for {planned.data.name}: {', '.join(resolved)}")
    unchosen = backend.device() == "cpu" and "precision" not in chosen and planned.train.precision != "amp"
    if unchosen and environment.amx_available():
        say("this processor has AMX: --precision amp (bfloat16 convolutions) trains faster")
    for warning in planned.warnings:
        warn(f"warning: {warning}")


def _run_to_resume(requested: str, model: str, experiments: Path, say: Say) -> Run:
    """Return the run named by --resume. RunError if there is none, or if a named checkpoint is not the run's newest."""
    if requested.startswith(PREFIX) or hub.is_named(requested):
        raise RunError(f"--resume {requested}: this file lacks what resuming needs. Start a new run with --from.")
    if requested == "latest":
        return _latest(model, experiments, say) or runs.find(requested, experiments)
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


def _latest(model: str, experiments: Path, say: Say) -> Run | None:
    """Return a model's newest run with a checkpoint, else its newest run; None if the model has no run."""
    candidates = [run for run in reversed(runs.list_runs(experiments)) if _model_of(run) == model]
    with_checkpoint = next((run for run in candidates if checkpoint.newest(run.path)), None)
    for run in candidates[: candidates.index(with_checkpoint)] if with_checkpoint else ():
        say(f"skipping {run.path.name}: it has no checkpoint")
    return with_checkpoint or next(iter(candidates), None)


def _model_of(run: Run) -> str | None:
    with contextlib.suppress(RunError):  # a damaged run has no known model
        return str(run.description().model)
    return None


def _recorded_data(run: Run, registry: Registry) -> str:
    """Return the location of a run's data. DataError if the data are gone, OptionError if no location is recorded."""
    try:
        description = run.description()
        return training_data_of(description.data_name, description.data_path, registry)
    except (DataError, OptionError) as error:
        raise type(error)(f"{run.path}: {error}") from error


def read_preset(model: Model, path: str) -> dict[str, Any]:
    """Return the options in a preset of the model or in a TOML file, by name. OptionError if it can't be read, or names
    an unknown option."""
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


def select_options(cls: type[Options], values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values that are options of a class."""
    return {name: values[name] for name in options_by_name(cls) if name in values}
