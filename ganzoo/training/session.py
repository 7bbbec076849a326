"""A whole run, from resolved options to a trained generator: what `ganzoo train` does."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo import backend, runs
from ganzoo.data import DataInfo, Dataset
from ganzoo.data.catalog import open_data
from ganzoo.data.drawing import order
from ganzoo.errors import CheckpointError, GanzooError, OptionError, RunError
from ganzoo.model import Model
from ganzoo.options import Options
from ganzoo.plugins import Registry
from ganzoo.runs import Run
from ganzoo.training import checkpoint
from ganzoo.training.feed import Feed
from ganzoo.training.loop import train
from ganzoo.training.options import TrainOptions
from ganzoo.training.preparation import Preparation
from ganzoo.training.reporting import Reporter
from ganzoo.training.showing import choose
from ganzoo.training.state import TrainState


@dataclass(frozen=True)
class Plan:
    """Everything that is known before a kernel runs: model, options, and the opened data."""

    model: Model
    train: TrainOptions
    options: Options
    dataset: Dataset
    data: DataInfo  # as the networks see it: size and channels after fitting
    warnings: tuple[str, ...] = ()

    @property
    def flip(self) -> bool:
        """Whether half of the images are mirrored: as the user says, else as the data set allows."""
        return self.dataset.info.flip if self.train.flip is None else self.train.flip

    def description(self) -> dict[str, Any]:
        """What options.json and every checkpoint say about the run."""
        from ganzoo import __version__

        return {
            "ganzoo": __version__,
            "model": self.model.name,
            "train": self.train.to_dict(),
            "options": self.options.to_dict(),
            "data": dataclasses.asdict(self.data),
        }


def plan(model: Model, train_options: TrainOptions, options: Options, registry: Registry, new: bool = True) -> Plan:
    """Open the data for a new or a resumed run, and settle what the networks will see. DataError or OptionError if it
    can't work."""
    dataset = open_data(train_options.data, registry)
    options = model.settled(options, dataset.info)
    size = model.image_size(options, dataset.info)
    data = dataclasses.replace(dataset.info, size=size)
    warnings = tuple(model.check(options, train_options, data, new))
    order(dataset, model.draw(options), 0, False)  # refuses what can't be drawn so
    dataset.validation()  # the same for what is kept
    return Plan(model, train_options, options, dataset, data, warnings)


def run_training(plan: Plan, registry: Registry, experiments: Path, resume: Run | None = None) -> tuple[Run, str]:
    """Train to the end, into a new folder or a resumed one; return the run and 'finished' or 'interrupted'."""
    backend.start(plan.train.device)
    with watch_signals() as stop:
        state = TrainState(plan.model, plan.options, plan.data, plan.train)
        if resume is None:
            plan.model.begin(plan.options, state.setup.networks)
        shown = choose(plan.dataset, plan.data) if state.setup.translator else None
        run = resume or runs.create(experiments, f"{plan.model.name}-{plan.data.name}")
        with run.locked():
            if resume is not None:
                _restore(state, run, plan)
            run.save_options({**plan.description(), "device": backend.device(), "saved": time.time()})
            reporter = Reporter(run, plan.train, registry, plan.description(), state.progress, shown)
            return run, _train(state, plan, reporter, stop)


def _train(state: TrainState, plan: Plan, reporter: Reporter, stop: Callable[[], bool]) -> str:
    feed = Feed(plan.dataset, plan.train, plan.data.channels, plan.flip, reporter.say, plan.model.draw(plan.options))
    outcome = "failed"
    try:
        reporter.start(state, feed, plan.data.size)
        outcome = train(state, feed, plan.train, reporter, Preparation(plan, reporter.run.log), stop)
    except GanzooError as error:
        reporter.run.log(f"Error: {error}")
        raise
    except RuntimeError:
        if not stop():
            raise
        # Jittor fails where a signal meets it waiting for the compiler. The step is half done, so it is not saved.
        reporter.say("interrupted while kernels were compiled; what was done since the last checkpoint is not kept")
        outcome = "interrupted"
    finally:
        reporter.close(outcome)
    return outcome


def check_resume(plan: Plan, run: Run) -> None:
    """OptionError if the data have other domains than those that the networks of the run are built for."""
    former = tuple(run.options()["data"].get("domains", ()))
    if not plan.model.conditional or former == plan.data.domains:
        return
    found = ", ".join(plan.data.domains) or "none"
    unnamed = all(name.isdigit() for name in former)
    remedy = f" If they are these by other names, import it again with --domains {found}." if unnamed else ""
    raise OptionError(
        f"--data {plan.train.data}: the run was trained on the domains {', '.join(former)}, and these are {found}. "
        f"Its networks know no others.{remedy}"
    )


def _restore(state: TrainState, run: Run, plan: Plan) -> None:
    path = checkpoint.newest(run.path)
    if path is None:
        raise RunError(f"{run.path}: there is no checkpoint to resume from.")
    saved = checkpoint.read(path)
    if saved.metadata["model"] != plan.model.name:
        raise CheckpointError(f"{path}: of the model {saved.metadata['model']!r}, not {plan.model.name!r}.")
    try:
        state.load(saved.tensors, saved.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    run.cut_stats(state.progress.images)


@contextlib.contextmanager
def watch_signals() -> Iterator[Callable[[], bool]]:
    """Within the body the first Ctrl-C or SIGTERM only makes the yielded function true, so that training ends
    after the step with a checkpoint; the second one ends the process the usual way."""
    received: list[int] = []
    watched: list[int] = [signal.SIGINT, signal.SIGTERM]
    former: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        for each in watched:
            signal.signal(each, former[each])

    try:
        for number in watched:
            former[number] = signal.signal(number, note)
        yield lambda: bool(received)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def resumed_options(
    run: Run, model: Model, train_values: dict[str, Any], model_values: dict[str, Any]
) -> tuple[TrainOptions, Options, list[str]]:
    """The options of a run with the user's changes over them, and a line for each change."""
    from ganzoo.options import changes, resolve

    stored = run.options()
    if stored["model"] != model.name:
        raise OptionError(
            f"{run.path} is a run of {stored['model']}; continue it with `ganzoo train {stored['model']} --resume`."
        )
    before = resolve(TrainOptions, stored["train"]), resolve(model.options, stored["options"])
    after = (
        resolve(TrainOptions, {**stored["train"], **train_values}),
        resolve(model.options, {**stored["options"], **model_values}),
    )
    differences = {**changes(before[0], after[0]), **changes(before[1], after[1])}
    notes = [f"changed: --{name.replace('_', '-')} was {old}, is {new}" for name, (old, new) in differences.items()]
    return after[0], after[1], notes
