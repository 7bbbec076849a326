"""The training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ganzoo.data.loader import ImageBatch
from ganzoo.distributed import collectives
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.stages import StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import due
from ganzoo.training.feed import Feed
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step


class Reporter(Protocol):
    """Callbacks of the training loop. The host waits for the device only in reports that are due."""

    def on_loss_terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Record the loss terms of a phase, as Vars. `finite` is a Var, 0 if the update was skipped."""

    def on_logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Record the values that a phase logs in addition to the loss."""

    def on_stage_start(self, state: TrainState, position: StagePosition) -> None:
        """Called before the first step, when a stage begins, and when its fade-in ends."""

    def step(self, state: TrainState) -> contextlib.AbstractContextManager[None]:
        """Return the context in which a step runs."""

    def after(self, state: TrainState) -> None:
        """Report what is due after a step."""

    def finish(self, state: TrainState) -> None:
        """Called after the last step."""


def train(state: TrainState, feed: Feed, options: TrainOptions, reporter: Reporter, stop: Callable[[], bool]) -> None:
    """Train until `options.kimg` is reached or `stop()` is true (on several ranks: `stop()` on rank 0)."""
    step = Step(state, options.seed, options.micro_batch, reporter.on_loss_terms, reporter.on_logged)
    with contextlib.closing(feed):
        for batch in _batches(state, feed, due.total_images(options), reporter, stop):
            with reporter.step(state):
                step(batch)
            state.count_step()
            reporter.after(state)
    reporter.finish(state)


def _batches(
    state: TrainState, feed: Feed, total: int, reporter: Reporter, stop: Callable[[], bool]
) -> Iterator[ImageBatch]:
    """Yield a batch of the current stage for each step, until `total` images have been seen or `stop()` is true."""
    last = None
    while state.progress.images < total and not collectives.broadcast_object(stop()):
        position = state.upcoming()
        if not position.same_networks(last):
            reporter.on_stage_start(state, position)
        yield feed.batch(position.stage.size, position.stage.batch, state.progress.images)
        last = position
