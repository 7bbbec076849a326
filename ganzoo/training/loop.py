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

WARM_UP = 2  # steps in which kernels are compiled; their time is not counted in img/s


class LoopReporter(Protocol):
    """What the loop tells, and when."""

    def terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """The loss terms of a phase, Vars; `finite` is 0 if its update was skipped."""

    def logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Numbers that are no part of the loss."""

    def stage_begins(self, state: TrainState, position: StagePosition) -> None:
        """A stage begins, or the time after its fade."""

    def stepped(self, state: TrainState) -> None:
        """A step is done."""

    def compiled(self) -> None:
        """A step is done in which kernels were compiled."""

    def not_training(self, seconds: float, images: int) -> None:
        """So long was not training, but compiling."""

    def begun(self, state: TrainState) -> None:
        """The first step of a run is done."""

    def due(self, progress: Progress, batch: int) -> bool:
        """Whether `tick` is due after a step of `batch` images."""

    def tick(self, state: TrainState, batch: int = 0) -> None:
        """A tick is over."""

    def finish(self, state: TrainState) -> None:
        """Training is over."""


def train(
    state: TrainState,
    feed: Feed,
    options: TrainOptions,
    reporter: LoopReporter,
    precompiler: Precompiler | None,
    stop: Callable[[], bool],
) -> None:
    """Train until `options.kimg`, or until `stop` says so; on several ranks, until that of rank 0 does.

    The host waits for the device only in `reporter.tick`.
    """
    step = Step(state, options.seed, options.micro_batch, reporter.terms, reporter.logged)
    goal = due.goal(options)
    last, fresh = None, 0
    try:
        while state.progress.images < goal and not collectives.broadcast_object(stop()):
            position = state.upcoming()
            if not position.alike(last):
                reporter.stage_begins(state, position)
                fresh = WARM_UP
            count = position.stage.batch
            images = feed.batch(position.stage.size, count, state.progress.images)
            # A first step, right after a checkpoint or the beginning, can be given up: its kernels may take minutes.
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
