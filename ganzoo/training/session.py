"""A complete run, from resolved options to a trained generator: the work of `ganzoo train`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from ganzoo import backend, distributed, runs
from ganzoo.checkpoints import checkpoint
from ganzoo.distributed import collectives
from ganzoo.errors import DivergedError, GanzooError, RunError
from ganzoo.interfaces.stages import unreached_stages
from ganzoo.registry.plugins import Registry
from ganzoo.runs import RESTART_PREFIX, SESSION_PREFIX, Run
from ganzoo.signals import Stop, watch_signals
from ganzoo.training import due
from ganzoo.training.augmentation.augmenter import check_augmentable
from ganzoo.training.feed import Feed
from ganzoo.training.follower import follow, share_state
from ganzoo.training.loop import train
from ganzoo.training.plan import Plan, early_end_warning
from ganzoo.training.reporting.reporter import RunReporter
from ganzoo.training.reporting.sheets import TranslationInputs, choose_translation_inputs
from ganzoo.training.resuming import changes_since, load_newest, restore
from ganzoo.training.state import TrainState
from ganzoo.training.step import check_micro_batches

ENDINGS = {
    "killed": "ended unexpectedly: it was killed, perhaps because memory ran out",
    "crashed": "crashed in compiled code; see the traceback in log.txt",
}


def run_training(
    plan: Plan, registry: Registry, experiments: Path, resume: Run | None = None
) -> tuple[Run | None, Stop]:
    """Train to the end, in a new run or the one to `resume`. Return the run (None if nothing was trained) and a Stop,
    true if a signal ended training early, with `by_plugin` set if a plugin did.

    If training diverges, it restarts from the last checkpoint with another seed, up to `plan.train.retry` times. If
    `mpirun` started several processes, rank 0 writes the run; the others train alongside and return None for the run.
    """
    backend.start(plan.train.device, plan.train.precision)
    with watch_signals() as stop:
        if not distributed.is_rank_zero():
            try:
                follow(plan, stop)
            except RuntimeError:  # from Jittor after a signal: see `_attempt`
                if not stop():
                    raise
            return None, stop
        if resume is not None:
            with resume.locked():
                trained = _attempts(plan, registry, resume, stop)
            return resume if trained else None, stop
        try:
            state = _new_state(plan)
            check(plan, state)
        except RuntimeError:
            if not stop():
                raise
            return None, stop
        run = runs.create(experiments, f"{plan.model.name}-{plan.data.name}")
        with run.locked():
            try:
                if plan.transfer is not None:
                    _save_start(plan, run, state)
                _attempts(plan, registry, run, stop, state)
            except GanzooError as error:
                newest = checkpoint.newest(run.path)
                produced_nothing = not run.stats() and (newest is None or not checkpoint.images_seen(newest))
                if produced_nothing and not isinstance(error, DivergedError):
                    run.remove()
                raise
        return run, stop


def check(plan: Plan, state: TrainState) -> TranslationInputs | None:
    """Check before the first step that training can work: OptionError or DataError if it can't. Return the inputs for
    the sample sheets of a translating model, None for others."""
    check_micro_batches(state.setup.networks, plan.schedule.stages, plan.train.micro_batch)
    check_augmentable(plan.train, state.setup.networks)
    if plan.metric_tracker is not None:
        plan.metric_tracker.check(state)
    return choose_translation_inputs(plan.dataset, plan.data) if state.setup.translator else None


def _attempts(plan: Plan, registry: Registry, run: Run, stop: Stop, state: TrainState | None = None) -> bool:
    """Train from `state` or the newest checkpoint; retry after divergence. Return False if there was nothing to do."""
    if state is None and (before := ENDINGS.get(run.outcome() or "")):
        run.print_and_log(f"the last session {before}")
    for retries_left in range(plan.train.retry, -1, -1):
        try:
            return _attempt(plan, registry, run, stop, state or _resumed(plan, run))
        except DivergedError:
            if not retries_left:
                raise
            plan, last = plan.with_next_seed(), checkpoint.newest(run.path)
            what = f"after {last.name}; restarting from there" if last else "before the first checkpoint; starting over"
            run.print_and_log(f"{RESTART_PREFIX}{what} with --seed {plan.train.seed}.")
            if last is None:
                run.truncate_stats(0)
            state = None if last else _new_state(plan)
        except RuntimeError:
            if not stop():
                raise
            run.log("interrupted")
            break
    return True


def _attempt(plan: Plan, registry: Registry, run: Run, stop: Stop, state: TrainState) -> bool:
    """Train from `state`. Return False if the goal had already been reached."""
    if state.progress.images >= due.total_images(plan.train):
        run.print_and_log(
            f"{run.path.name} is already at {state.progress.kimg:g} kimg; --kimg {plan.train.kimg:g} leaves nothing to "
            "train"
        )
        share_state(state)
        collectives.barrier()
        return False
    inputs = check(plan, state)
    environment = backend.describe_environment()
    run.save_description(dataclasses.replace(plan.description(), environment=environment, saved=time.time()))
    share_state(state)
    among = f", {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
    run.print_and_log(f"{SESSION_PREFIX}{backend.describe_device()}{among}")
    reporter = RunReporter(run, plan, registry, state, inputs, stop)
    on_bad_image, config = reporter.logger.info, plan.model.loader_config(plan.options)
    feed = Feed(plan.dataset, plan.train, plan.data.channels, plan.flip, on_bad_image, config)
    outcome, reached_end = "failed", False
    try:
        reporter.start(state, feed, plan.data.size)
        train(state, feed, plan.train, reporter, stop.requested)
        if state.progress.images >= due.total_images(plan.train):
            stop.by_plugin = False  # there was nothing left to stop
        outcome, reached_end = "interrupted" if stop() else "stopped" if stop.by_plugin else "finished", True
    except GanzooError as error:
        run.log(f"Error: {error}")
        raise
    except RuntimeError:
        if not stop():
            raise
        # Jittor raises RuntimeError if a signal arrives while it waits for a compiler or for another process that
        # compiles. The step is incomplete, so the state is not saved.
        reporter.logger.info("interrupted while compiling kernels; progress since the last checkpoint is lost")
        outcome = "interrupted"
    finally:
        reporter.close(outcome)
    if reached_end:
        collectives.barrier()  # mpirun ends all processes once one exits with a signal's status
    return True


def _new_state(plan: Plan) -> TrainState:
    state = plan.initial_state()
    if plan.transfer is None or plan.transfer.pretrained:
        plan.model.load_pretrained(plan.options, state.setup.networks)
    if plan.transfer is not None:
        plan.transfer.load(state)
    return state


def _save_start(plan: Plan, run: Run, state: TrainState) -> None:
    """Save a checkpoint before the first step. From then on the run doesn't need the file that it starts from."""
    assert plan.transfer is not None
    for line in plan.transfer.lines:
        run.log(line)
    path = run.path / checkpoint.file_name(0)
    checkpoint.write(path, state.tensors(), plan.description(), state.metadata())


def _resumed(plan: Plan, run: Run) -> TrainState:
    """Return the state of the newest intact checkpoint, or an initial state if there is none."""
    saved = load_newest(run)
    for line in changes_since(plan, run, backend.describe_environment()):
        run.print_and_log(line)
    if saved is None and plan.lineage is not None:
        raise RunError(
            f"{run.path.name} has no checkpoint left, so the weights that it started with are lost. Start a new run "
            f"with --from {plan.lineage.source}."
        )
    if saved is None:
        run.print_and_log(f"{run.path.name} has no checkpoint yet; starting over.")
        run.truncate_stats(0)
        return _new_state(plan)
    state = plan.initial_state()
    notes = restore(state, saved, plan, run)
    run.print_and_log(f"resuming from {saved.path.name}")
    for line in notes:
        run.print_and_log(f"changed: {line}")
    if plan.data.size > saved.data.size:
        run.print_and_log(f"growing to {plan.data.size} px: layers above {saved.data.size} px are initialised randomly")
    stages = plan.schedule.stages
    if missed := unreached_stages(stages, due.total_images(plan.train), state.progress):
        run.print_and_log(f"warning: {early_end_warning(plan.train, stages, missed)}")
    run.truncate_stats(state.progress.images)
    return state
