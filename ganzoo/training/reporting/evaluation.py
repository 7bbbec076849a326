"""Metrics during training: when they are measured, and where they are reported."""

from __future__ import annotations

from typing import Any

from ganzoo import backend
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.runs import Run, is_number
from ganzoo.signals import Stop
from ganzoo.training import due
from ganzoo.training.metric_tracker import MetricTracker
from ganzoo.training.reporting.logger import RunLogger
from ganzoo.training.reporting.progress_bar import format_kimg
from ganzoo.training.state import TrainState


class PeriodicEvaluation:
    """Measures metrics every --evaluate-every kimg, for the networks that samples are drawn from. Once `stop()` is
    true, nothing is measured."""

    def __init__(
        self, run: Run, options: TrainOptions, metric_tracker: MetricTracker | None, logger: RunLogger, stop: Stop
    ) -> None:
        self.run, self.options, self.metric_tracker, self.logger, self._stop = (
            run,
            options,
            metric_tracker,
            logger,
            stop,
        )

    def measure(self, state: TrainState, row: dict[str, Any]) -> dict[str, float]:
        """Measure metrics, add them to `row`, the last row of stats.jsonl, and return them."""
        if self.metric_tracker is None or self._stop():
            return {}
        found: dict[str, float] = {}
        with self.logger.nonfatal("--evaluate-every"), backend.show_compilation("evaluating"):
            found = self.metric_tracker.measure(state, self.run.path, self.logger.info)
        if not found:
            return {}
        numbers = ", ".join(f"{name} {found[name]:.4g}" for name in found)
        self.logger.info(f"{format_kimg(state.progress.images, due.total_images(self.options))} kimg: {numbers}")
        metrics = {name: value for name, value in found.items() if is_number(value)}
        row["metrics"] = metrics
        with self.logger.nonfatal("stats.jsonl", interruptible=False):
            self.run.replace_last_stats(row)
        return metrics

    def measure_missing(self, state: TrainState) -> dict[str, float]:
        """Measure the metrics that were due when the previous session ended, and return them."""
        if state.position is None or not due.evaluation_due(self.options, state.progress, state.position.stage.batch):
            return {}
        rows = self.run.stats()
        if rows and rows[-1]["images"] == state.progress.images and "metrics" not in rows[-1]:
            return self.measure(state, rows[-1])
        return {}
