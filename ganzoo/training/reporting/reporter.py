"""Reporter of rank 0, the only rank that writes to the run's folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganzoo import backend
from ganzoo.errors import CheckpointError, DivergedError
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.stages import StagePosition
from ganzoo.registry.plugins import Registry
from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training import due
from ganzoo.training.feed import Feed
from ganzoo.training.loss_stats import LossStats
from ganzoo.training.plan import Plan
from ganzoo.training.precompile import Precompiler
from ganzoo.training.reporting.checkpoints import CheckpointKeeper
from ganzoo.training.reporting.curves import CurvePlotter
from ganzoo.training.reporting.evaluation import PeriodicEvaluation
from ganzoo.training.reporting.events import PluginEvents
from ganzoo.training.reporting.kernels import SlowConvolutions, WarmUp
from ganzoo.training.reporting.logger import RunLogger
from ganzoo.training.reporting.progress_bar import ProgressBar, format_kimg
from ganzoo.training.reporting.report import ReportWriter
from ganzoo.training.reporting.samples import SampleWriter
from ganzoo.training.reporting.sheets import TranslationInputs
from ganzoo.training.reporting.stats import TickStats
from ganzoo.training.state import TrainState


class RunReporter:
    """Reporter that shows progress and writes the run's folder. Loss terms stay on the device until a tick, the only
    time when the host waits for them."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        registry: Registry,
        state: TrainState,
        inputs: TranslationInputs | None,
        stop: Stop,
    ) -> None:
        """`inputs` are the images for the sample sheets of a translating model. Once `stop()` is true, no samples are
        made and nothing is measured. Plugins can request a stop."""
        self.run, self.options, self._goal = run, plan.train, due.total_images(plan.train)
        images = state.progress.images
        self.loss_stats, self.stats = LossStats(), TickStats(run, images)
        self.bar = ProgressBar(run.path.name, images, self._goal)
        self.logger = RunLogger(run, self.bar, stop)
        self.checkpoints = CheckpointKeeper(run, plan.train, plan.description(), plan.metric_tracker)
        self.samples = SampleWriter(run.path, plan.dataset, inputs, self.logger, stop)
        self.curves = CurvePlotter(run, state.setup.loss.panels, self.logger, stop)
        self.report = ReportWriter(run, registry, self.logger, stop)
        self.evaluation = PeriodicEvaluation(run, plan.train, plan.metric_tracker, self.logger, stop)
        self.events = PluginEvents(registry, run.path, self.logger, stop)
        self.warm_up, self.slow_convolutions = WarmUp(), SlowConvolutions()
        self.precompiler = Precompiler(plan, run.log)
        self._any_stage_begun = False

    def start(self, state: TrainState, feed: Feed, size: int) -> None:
        """Announce where results are written, and save real images of `size` px for comparison."""
        self.events.run_start(self.run.description().to_json(), state.progress)
        what = f"samples, losses (every {self.options.tick:g} kimg) and checkpoints"
        self.logger.info(f"writing {what} to {self.run.path}")
        if state.progress.images == 0:
            self.events.pictures(self.samples.write_reals(feed, size), 0)
        else:
            self.events.evaluation(self.evaluation.measure_missing(state), state.progress.images)
        self.stats.restart(state.progress.images)

    def on_loss_terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Add the loss terms of a phase to this tick, without waiting for their values."""
        self.loss_stats.add(phase, means, finite)

    def on_logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Add values that are not part of the loss to this tick, without waiting for them."""
        self.loss_stats.log(phase, values, finite)

    def on_stage_start(self, state: TrainState, position: StagePosition) -> None:
        """Announce the stage that begins. If another one came before it, report its losses and save a checkpoint."""
        self.warm_up.restart()
        stages = state.schedule.stages
        if len(stages) == 1:
            return
        stage = position.stage
        what = f"stage {position.index + 1} of {len(stages)}: {stage.size} px, batches of {stage.batch}"
        if position.fading:
            what += f", fade-in over {stage.fade / 1000:g} kimg"
        self.logger.info(f"{format_kimg(state.progress.images, self._goal)} kimg: {what}")
        if self._any_stage_begun:
            if not self.loss_stats.empty:
                self._tick(state)
            self.checkpoints.save(state)
        self._any_stage_begun = True

    @contextlib.contextmanager
    def step(self, state: TrainState) -> Iterator[None]:
        """Run a step in the body. During the warm-up, exclude its time from the speed; after the warm-up, have the
        kernels of later stages compiled."""
        warming_up, started = self.warm_up.left > 0, time.perf_counter()
        if not warming_up:
            self.precompiler.start(state)
        with self.warm_up.step(state.progress.step + 1):
            yield
        if warming_up:
            self.stats.exclude(time.perf_counter() - started, state.batch)
            self.slow_convolutions.check(self.logger)

    def after(self, state: TrainState) -> None:
        """Update the bar, save samples after the first step of a run, and report what is due."""
        self.bar.update(state.progress.images)
        self.checkpoints.validate_keep_best(state, self.loss_stats)
        if state.progress.images == state.batch:
            self.first_samples(state)
        if due.report_due(self.options, state.progress, state.batch):
            self._tick(state, state.batch)
        self._report_checkpoints()

    def _report_checkpoints(self) -> None:
        for path in self.checkpoints.new():
            self.events.checkpoint(path)

    def first_samples(self, state: TrainState) -> None:
        """Save samples after the first step of a run. This compiles the kernels of sampling, so its time is excluded
        from the speed."""
        began = time.perf_counter()
        with backend.show_compilation("first samples"):
            written = self.samples.write(state)
        self.events.pictures(written, state.progress.images)
        self.stats.exclude(time.perf_counter() - began, 0)

    def _tick(self, state: TrainState, batch: int = 0) -> None:
        """Fetch the losses, write everything that is due after a step of `batch` images, and notify plugins. The
        checkpoint comes before metrics and samples, so that their failure loses no training."""
        backend.wait()
        losses = self.loss_stats.fetch()
        row = self.stats.row(state, losses)
        with self.logger.nonfatal("stats.jsonl", interruptible=False):
            self.run.append_stats(row)
        self._show(row)
        if losses.max_consecutive_skips > self.options.max_skips:
            kimg = format_kimg(row["images"], self._goal)
            raise diverged(losses.max_consecutive_skips, kimg, self.checkpoints.newest(), self.options.retry > 0)
        measuring = due.evaluation_due(self.options, state.progress, batch)
        if measuring or due.checkpoint_due(self.options, state.progress, batch):
            self.checkpoints.save(state)
        if measuring:
            self.events.evaluation(self.evaluation.measure(state, row), state.progress.images)
        self.events.pictures(self.samples.write(state), state.progress.images)
        self.curves.tick()
        self.report.tick()
        self.events.tick(row)
        self.stats.restart(state.progress.images)

    def _show(self, row: Mapping[str, Any]) -> None:
        self.run.log(self.bar.tick(row["images_per_second"], row["losses"]))
        if row["skipped"]:
            self.logger.info(
                f"{format_kimg(row['images'], self._goal)} kimg: skipped {row['skipped']} updates in this tick: "
                "non-finite loss or gradient"
            )

    def finish(self, state: TrainState) -> None:
        """Report an unfinished tick, save a checkpoint, and draw the curves."""
        self.precompiler.close()
        if not self.loss_stats.empty:
            self._tick(state)
        self.checkpoints.finish(state)
        self._report_checkpoints()
        self.curves.finish()

    def close(self, outcome: str) -> None:
        """Close the bar, wait until the last checkpoint is written, and notify plugins."""
        self.precompiler.close()
        self.bar.close()
        try:
            self.checkpoints.wait()
        except CheckpointError as error:
            self.logger.info(str(error))
        self._report_checkpoints()
        self.run.log(outcome)
        self.report.close(outcome)
        self.events.run_end(outcome)


def diverged(skips: int, kimg: str, last: Path | None, retrying: bool) -> DivergedError:
    """Return the error after too many skipped updates. `last` is the newest checkpoint, if there is one."""
    return DivergedError(
        f"training diverged: {skips} updates in a row, up to {kimg} kimg, had a non-finite loss or gradient and were "
        "skipped. "
        + (f"Resume from the last checkpoint, {last}," if last else "Start again")
        + " with a lower learning rate"
        + ("." if retrying else ", or let --retry 3 try other seeds.")
    )
