"""Reporter of ranks other than 0."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from ganzoo import backend
from ganzoo.errors import DivergedError
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.stages import StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import due
from ganzoo.training.loss_stats import LossStats
from ganzoo.training.reporting.kernels import WarmUp
from ganzoo.training.state import TrainState


class SilentReporter:
    """Reporter that shows and writes nothing. It detects diverged training at the same steps as rank 0."""

    def __init__(self, options: TrainOptions) -> None:
        self.options, self._loss_stats, self._warm_up = options, LossStats(), WarmUp()

    def on_loss_terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Count one run of a phase."""
        self._loss_stats.add(phase, {}, finite)

    def on_logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Do nothing."""

    def on_stage_start(self, state: TrainState, position: StagePosition) -> None:
        """Check the updates of the previous stage."""
        self._check_updates()
        self._warm_up.restart()

    def step(self, state: TrainState) -> AbstractContextManager[None]:
        """Run a step in the body, and discard messages of the compiler."""
        return self._warm_up.step(state.progress.step + 1)

    def after(self, state: TrainState) -> None:
        """Check the updates when rank 0 reports."""
        if due.report_due(self.options, state.progress, state.batch):
            self._check_updates()

    def finish(self, state: TrainState) -> None:
        """Check the remaining updates."""
        self._check_updates()

    def _check_updates(self) -> None:
        """Raise DivergedError, as rank 0 does, if too many updates in a row were skipped."""
        if self._loss_stats.empty:
            return
        backend.wait()
        skips = self._loss_stats.fetch().max_consecutive_skips
        if skips > self.options.max_skips:
            raise DivergedError(f"training diverged: {skips} updates in a row were skipped.")
