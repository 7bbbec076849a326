"""Output of training: the progress bar, statistics, curves, samples, checkpoints, plugin events."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganzoo import backend
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import CheckpointError, DivergedError, GanzooError, OptionError, near_match
from ganzoo.interfaces.dataset import Draw
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.plots import save_curves
from ganzoo.registry.plugins import Registry, describe_failure
from ganzoo.runs import Run, is_number
from ganzoo.sampling import images
from ganzoo.signals import Stop
from ganzoo.training import due
from ganzoo.training.bar import Bar, in_kimg
from ganzoo.training.feed import Feed
from ganzoo.training.loss_stats import LossStats, Report
from ganzoo.training.snapshots import TranslationInputs, sheet_shape, sheets
from ganzoo.training.state import TrainState
from ganzoo.training.tracking import Tracker

PLOT_EVERY = 30.0  # seconds between redraws of the curves, each of which takes about half a second


class Reporter:
    """Output of rank 0. Loss terms stay on the device until a tick, the only time when the host waits for them."""

    def __init__(
        self,
        run: Run,
        options: TrainOptions,
        registry: Registry,
        description: RunDescription,
        progress: Progress,
        shown: TranslationInputs | None = None,
        stop: Stop | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        """`shown` are the inputs for the sample sheets of a translating model. Once `stop()` is true, no samples are
        made, and the `tracker` measures nothing."""
        self.run, self.options, self.registry, self.description = run, options, registry, description
        self._loss_stats = LossStats()
        former = run.stats()
        self._ticks, self._seconds = len(former), seconds_of(former[-1]) if former else 0.0
        self._tick_began, self._images_before = time.perf_counter(), progress.images
        self._idle, self._idle_images = 0.0, 0
        self._plotted = 0.0
        self._saved_at: int | None = None
        self._sampled_at: int | None = None
        self._writer = checkpoint.Writer(self._saved)
        self._slow = 0  # number of convolutions that Jittor did not recognise
        self._in_stages = False
        self._shown, self._stop, self._tracker = shown, stop or Stop(), tracker
        self._domains: tuple[str, ...] = ()
        self._panels: Mapping[str, str] = {}
        self._told: set[str] = set()
        self._known_best = not options.keep_best
        self._goal = due.goal(options)
        self._bar = Bar(run.path.name, progress.images, self._goal)

    def say(self, message: str) -> None:
        """Print a line above the progress bar and add it to log.txt. Training continues if the terminal is closed."""
        self._bar.write(message)
        self.run.log(message)

    @contextlib.contextmanager
    def _beside(self, what: str, interruptible: bool = True) -> Iterator[None]:
        """Run the body; report each kind of failure once and continue training. If `interruptible`, a signal ends the
        body immediately."""
        try:
            with self._stop.at_once() if interruptible else contextlib.nullcontext():
                yield
        except (KeyboardInterrupt, Exception) as error:
            # Jittor raises RuntimeError if a signal arrives while it waits for a compiler.
            if isinstance(error, (KeyboardInterrupt, RuntimeError)) and self._stop():
                return
            if isinstance(error, KeyboardInterrupt):
                raise
            known = isinstance(error, (GanzooError, OSError))
            reason = str(error).strip().partition("\n")[0] if known else describe_failure(error)
            if (kind := f"{what}: {type(error).__name__}") not in self._told:
                self._told.add(kind)
                if not known:
                    self.run.log(traceback.format_exc().rstrip())
                self.say(f"warning: {what}: {reason.rstrip('.')}. Training continues.")

    def terms(self, phase: Phase, means: Mapping[str, Any], finite: Any) -> None:
        """Add the loss terms of a phase to this tick, without waiting for their values."""
        self._loss_stats.add(phase, means, finite)

    def logged(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Add values that are not part of the loss, in the same way."""
        self._loss_stats.log(phase, values, finite)

    def compiled(self) -> None:
        """Warn once if Jittor runs convolutions as slow plain loops."""
        slow, self._slow = self._slow, backend.unrecognised_convolutions()
        if slow == 0 < self._slow:
            self.say(
                f"warning: Jittor does not recognise {self._slow} of the convolutions and computes them by plain "
                "loops, a hundred times slower. Use ganzoo.Conv, ganzoo.ConvTranspose or ganzoo.conv2d in the networks."
            )

    def not_training(self, seconds: float, images: int) -> None:
        """Exclude `seconds` and `images` of steps that compile kernels from img/s."""
        self._idle += seconds
        self._idle_images += images

    def stepped(self, state: TrainState) -> None:
        """Update the bar after a step. OptionError if --keep-best names a number that the statistics won't contain."""
        self._bar.move(state.progress.images)
        if not self._known_best and not {phase.name for phase in state.setup.loss.phases} - self._loss_stats.phases:
            self._check_best(self.options.keep_best or "")
            self._known_best = True

    def due(self, progress: Progress, batch: int) -> bool:
        """Return whether a report is due after the last step, of `batch` images."""
        return due.to_report(self.options, progress, batch)

    def stage_begins(self, state: TrainState, position: StagePosition) -> None:
        """Announce the stage that begins, then report and save the results of the previous one."""
        stages = state.schedule.stages
        if len(stages) == 1:
            return
        stage = position.stage
        what = f"stage {position.index + 1} of {len(stages)}: {stage.size} px, batches of {stage.batch}"
        if position.fading:
            what += f", faded in over {stage.fade / 1000:g} kimg"
        self.say(f"{in_kimg(state.progress.images, self._goal)} kimg: {what}")
        if self._in_stages:
            if not self._loss_stats.empty:
                self.tick(state)
            self.save(state)
        self._in_stages = True

    def start(self, state: TrainState, feed: Feed, size: int) -> None:
        """Announce where results are written, and save real images of `size` px for comparison."""
        self._panels, self._domains = state.setup.loss.panels, state.data.domains
        self._notify("ganzoo_run_start", run=self.run.path, options=self.run.description().to_json())
        self.say(f"samples and losses at every tick ({self.options.tick:g} kimg), checkpoints: in {self.run.path}")
        if state.progress.images == 0:
            count = min(math.prod(sheet_shape(size)), len(feed.dataset))
            reals = next(feed.loader(size, count, Draw()).batches()).images
            with self._beside("reals.png"):
                images.save(self.run.path / "reals.png", images.grid(reals, *sheet_shape(size)))
        elif state.position is not None and due.to_evaluate(self.options, state.progress, state.position.stage.batch):
            rows = self.run.stats()  # the last session may have ended before measuring
            if rows and rows[-1]["images"] == state.progress.images and "metrics" not in rows[-1]:
                self._measure(state, rows[-1])
        self._tick_began = time.perf_counter()

    def begun(self, state: TrainState) -> None:
        """Save samples after the first step of a run."""
        began = time.perf_counter()
        with backend.watch_kernels("first samples"):
            self._sample(state)
        self.not_training(time.perf_counter() - began, 0)

    def tick(self, state: TrainState, batch: int = 0) -> None:
        """Fetch the losses, write everything that is due after a step of `batch` images, and notify plugins. The
        checkpoint comes before metrics and samples, so that a failure there loses no training."""
        backend.wait()
        report = self._loss_stats.fetch()
        row = self._row(state, report, time.perf_counter() - self._tick_began)
        with self._beside("stats.jsonl", interruptible=False):
            self.run.append_stats(row)
        self._show(row)
        if report.in_a_row > self.options.max_skips:
            raise self._diverged(state, report)
        measuring = due.to_evaluate(self.options, state.progress, batch)
        if measuring or due.ends_snapshot(self.options, state.progress, batch):
            self.save(state)
        if measuring:
            self._measure(state, row)
        self._sample(state)
        if not self._stop() and time.perf_counter() - self._plotted > PLOT_EVERY:
            self._plot()
        self._notify("ganzoo_tick", run=self.run.path, stats=row)
        self._tick_began, self._images_before = time.perf_counter(), state.progress.images
        self._idle, self._idle_images = 0.0, 0

    def _measure(self, state: TrainState, row: dict[str, Any]) -> None:
        """Measure metrics and add them to the last row of the statistics."""
        if self._tracker is None or self._stop():
            return
        found: dict[str, float] = {}
        with self._beside("--evaluate-every"), backend.watch_kernels("evaluating"):
            found = self._tracker.measure(state, self.run.path, self.say)
        if not found:
            return
        numbers = ", ".join(f"{name} {found[name]:.4g}" for name in found)
        self.say(f"{in_kimg(state.progress.images, self._goal)} kimg: {numbers}")
        row["metrics"] = {name: value for name, value in found.items() if is_number(value)}
        with self._beside("stats.jsonl", interruptible=False):
            self.run.replace_last_stats(row)

    def _show(self, row: Mapping[str, Any]) -> None:
        self.run.log(self._bar.tick(row["images_per_second"], row["losses"]))
        if row["skipped"]:
            self.say(
                f"{in_kimg(row['images'], self._goal)} kimg: {row['skipped']} updates of this tick skipped, as their "
                "loss or gradient was not finite"
            )

    def _check_best(self, wanted: str) -> None:
        """Raise OptionError if the statistics won't contain a number of this name."""
        known = sorted(self._loss_stats.names | (self._tracker.names if self._tracker else set()))
        if wanted not in known:
            raise OptionError(
                f"--keep-best {wanted}: there is no such number in the statistics, only {', '.join(known)}."
                f"{near_match(wanted, known)}"
            )

    def _diverged(self, state: TrainState, report: Report) -> DivergedError:
        self._writer.wait()  # so that the message names the last checkpoint
        last = checkpoint.newest(self.run.path)
        return DivergedError(
            f"training diverged: {report.in_a_row} updates in a row had a loss or a gradient that is not finite, up to "
            f"{in_kimg(state.progress.images, self._goal)} kimg. They were skipped. "
            + (f"The last checkpoint is from before: {last}. Resume from it" if last else "Begin again")
            + " with a lower learning rate"
            + ("." if self.options.retry else ", or let --retry 3 try other seeds.")
        )

    def _row(self, state: TrainState, report: Report, seconds: float) -> dict[str, Any]:
        progress, position = state.progress, state.position or state.upcoming()
        self._ticks, self._seconds = self._ticks + 1, self._seconds + seconds
        images_done = progress.images - self._images_before - self._idle_images
        training = max(seconds - self._idle, 1e-9)
        if not images_done:  # only steps that compiled kernels
            images_done, training = self._idle_images, seconds
        return {
            "tick": self._ticks,
            "step": progress.step,
            "images": progress.images,
            "kimg": progress.kimg,
            "size": position.stage.size,
            "alpha": round(position.alpha, 6),
            "seconds": round(self._seconds, 3),
            "images_per_second": round(images_done / training, 2),
            "seconds_per_kimg": round(training / max(images_done, 1) * 1000, 4),
            "memory_bytes": backend.memory(),
            **({} if (of_gpu := backend.gpu_memory()) is None else {"gpu_memory_bytes": of_gpu}),
            "losses": report.losses,
            "watched": report.watched,
            "skipped": report.skipped,
        }

    def _sample(self, state: TrainState) -> None:
        if self._sampled_at == state.progress.images:
            return
        self._sampled_at = state.progress.images
        with self._beside("samples"):
            for name, sheet in sheets(state, self._shown, self._domains):
                if self._stop():
                    break
                images.save(self.run.path / f"samples-{state.progress.images:09d}{name}.png", sheet)

    def _plot(self) -> None:
        with self._beside("losses.png"):
            save_curves(self.run.path / "losses.png", self.run.stats(), self._panels)
        self._plotted = time.perf_counter()

    def save(self, state: TrainState) -> None:
        """Copy the state and write it to a checkpoint in the background."""
        if self._saved_at == state.progress.images:
            return
        path = self.run.path / checkpoint.name_at(state.progress.images)
        self._writer.save(path, state.arrays(), self.description, state.metadata())
        self._saved_at = state.progress.images

    def _saved(self, path: Path) -> None:
        """Log a checkpoint once it is on disk, and delete old ones. Called in the writer's thread."""
        self.run.log(f"saved {path.name}")
        self._prune()

    def _prune(self) -> None:
        checkpoint.prune(self.run.path, self.options.keep, self._best())

    def _best(self) -> Path | None:
        """Return the checkpoint with the best value of --keep-best, by default the tracker's first metric. The lowest
        value is best, unless that metric is better when higher."""
        wanted, highest = self.options.keep_best, False
        if self._tracker:
            tracked, high = self._tracker.best_by
            wanted = wanted or tracked
            highest = high and wanted == tracked
        values = self.run.values(wanted) if wanted else {}
        found = [path for path in checkpoint.names(self.run.path) if checkpoint.images_of(path) in values]
        choose: Any = max if highest else min
        best: Path | None = choose(found, key=lambda path: values[checkpoint.images_of(path)], default=None)
        return best

    def finish(self, state: TrainState) -> None:
        """Report an unfinished tick, save a checkpoint, and draw the curves."""
        if not self._loss_stats.empty:
            self.tick(state)
        self.save(state)
        self._writer.wait()
        self._prune()  # again: the last metrics were measured after the last checkpoint
        if self._plotted or not self._stop():  # the first plot imports matplotlib: too slow after a signal
            self._plot()

    def close(self, outcome: str) -> None:
        """Close the bar, wait for the checkpoint writer, and tell plugins how the run ended."""
        self._bar.close()
        try:
            self._writer.wait()
        except CheckpointError as error:
            self.say(str(error))
        self.run.log(outcome)
        self._notify("ganzoo_run_end", run=self.run.path, outcome=outcome)

    def _notify(self, event: str, **arguments: Any) -> None:
        for failure in self.registry.notify(event, **arguments):
            if failure not in self._told:
                self._told.add(failure)
                self.say(failure)


def seconds_of(row: Mapping[str, Any]) -> float:
    """Return the total training time in a row of the statistics; 0 if the row is damaged."""
    seconds: Any = row.get("seconds")
    return float(seconds) if is_number(seconds) else 0.0
