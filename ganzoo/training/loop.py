"""The training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ganzoo import backend
from ganzoo.distributed import collectives
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import due
from ganzoo.training.feed import Feed
from ganzoo.training.precompile import Precompiler
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

WARM_UP = 2  # steps at the start of a stage that compile kernels; excluded from img/s


class LoopReporter(Protocol):
    """Callbacks of the training loop."""

    def terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Record the loss terms of a phase, as Vars. `finite` is a Var, 0 if the update was skipped."""

    def logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Record the values that a phase logs in addition to the loss."""

    def stage_begins(self, state: TrainState, position: StagePosition) -> None:
        """Called before the first step, when a stage begins, and when its fade-in ends."""

    def stepped(self, state: TrainState) -> None:
        """Called after each step."""

    def compiled(self) -> None:
        """Called after a step that may have compiled kernels."""

    def not_training(self, seconds: float, images: int) -> None:
        """Exclude `seconds` and `images` from the training speed, because kernels were compiled."""

    def begun(self, state: TrainState) -> None:
        """Called after the first step of a run."""

    def due(self, progress: Progress, batch: int) -> bool:
        """Return whether `tick` is due after a step of `batch` images."""

    def tick(self, state: TrainState, batch: int = 0) -> None:
        """Called when `due` returned True, with the `batch` size of the last step."""

    def finish(self, state: TrainState) -> None:
        """Called after the last step."""


def train(
    state: TrainState,
    feed: Feed,
    options: TrainOptions,
    reporter: LoopReporter,
    precompiler: Precompiler | None,
    stop: Callable[[], bool],
) -> None:
    """Train until `options.kimg` is reached or `stop()` is true (on several ranks: `stop()` on rank 0).

    The host waits for the device only in `reporter.tick`.
    """
    step = Step(state, options.seed, options.micro_batch, reporter.terms, reporter.logged)
    goal = due.goal(options)
    last, fresh = None, 0
    try:
        while state.progress.images < goal and not collectives.broadcast_object(stop()):
            position = state.upcoming()
            if not position.same_networks(last):
                reporter.stage_begins(state, position)
                fresh = WARM_UP
            count = position.stage.batch
            images = feed.batch(position.stage.size, count, state.progress.images)
            # The first step, right after a checkpoint or at the start, may be interrupted: compiling can take minutes.
            whole = contextlib.nullcontext() if fresh == WARM_UP else backend.uninterrupted()
            if fresh:
                started = time.perf_counter()
                with backend.watch_kernels(f"step {state.progress.step + 1}"), whole:
                    step(images)
                reporter.not_training(time.perf_counter() - started, count)
                reporter.compiled()
            else:
                if precompiler:
                    precompiler.start(state)
                with whole:
                    step(images)
            last, fresh = position, max(fresh - 1, 0)
            first = state.progress.images == 0
            state.progress = state.progress.after(count)
            reporter.stepped(state)
            if first:
                reporter.begun(state)
            if reporter.due(state.progress, count):
                reporter.tick(state, count)
    finally:
        feed.close()
        if precompiler:
            precompiler.close()
    reporter.finish(state)
