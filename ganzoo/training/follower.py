"""Training on ranks other than 0: same steps, no output, no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import backend, distributed
from ganzoo.checkpoints.description import StateMetadata
from ganzoo.distributed import collectives
from ganzoo.errors import DivergedError
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.signals import Stop
from ganzoo.training import due
from ganzoo.training.feed import Feed
from ganzoo.training.loop import train
from ganzoo.training.loss_stats import LossStats
from ganzoo.training.state import TrainState

if TYPE_CHECKING:
    from ganzoo.training.plan import Plan


def follow(plan: Plan, stop: Stop) -> None:
    """Train alongside rank 0, which owns the run, starts or resumes it, and decides when to stop."""
    for left in range(plan.train.retry, -1, -1):
        state = plan.initial_state()
        share_state(state)
        feed = Feed(plan.dataset, plan.train, plan.data.channels, plan.flip, draw=plan.model.draw(plan.options))
        try:
            train(state, feed, plan.train, Follower(plan.train), None, stop)
            break
        except DivergedError:
            if not left:
                raise
            plan = plan.with_next_seed()
    collectives.barrier()


def share_state(state: TrainState) -> None:
    """Copy the state of rank 0 to all other ranks."""
    if distributed.world_size() == 1:
        return
    metadata = collectives.broadcast_object(state.metadata().to_json())
    tensors = {name: collectives.broadcast(np.array(value)) for name, value in state.arrays()}
    if not distributed.is_rank_zero():
        state.load(tensors, StateMetadata.from_json(metadata))


class Follower:
    """Silent replacement for the Reporter. Detects diverged training, as the Reporter does."""

    def __init__(self, options: TrainOptions) -> None:
        self.options, self._loss_stats = options, LossStats()

    def terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Count one run of a phase."""
        self._loss_stats.add(phase, {}, finite)

    def logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Do nothing."""

    def due(self, progress: Progress, batch: int) -> bool:
        """Return whether rank 0 reports after the last step, of `batch` images."""
        return due.to_report(self.options, progress, batch)

    def tick(self, state: TrainState, batch: int = 0) -> None:
        """Raise DivergedError, as rank 0 does, if too many updates in a row were skipped."""
        backend.wait()
        report = self._loss_stats.fetch()
        if report.in_a_row > self.options.max_skips:
            raise DivergedError(f"training diverged: {report.in_a_row} updates in a row were skipped.")

    def stage_begins(self, state: TrainState, position: StagePosition) -> None:
        """Check the updates of the previous stage."""
        if not self._loss_stats.empty:
            self.tick(state)

    def finish(self, state: TrainState) -> None:
        """Check the remaining updates."""
        if not self._loss_stats.empty:
            self.tick(state)

    def compiled(self) -> None:
        """Do nothing."""

    def not_training(self, seconds: float, images: int) -> None:
        """Do nothing."""

    def stepped(self, state: TrainState) -> None:
        """Do nothing."""

    def begun(self, state: TrainState) -> None:
        """Do nothing."""
