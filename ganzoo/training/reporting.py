"""What training shows and leaves: the progress bar, statistics, curves, samples, checkpoints, plugin events."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ganzoo import backend, images
from ganzoo.data import Draw
from ganzoo.errors import CheckpointError, DivergedError, OptionError, near_match
from ganzoo.loss import Phase
from ganzoo.plots import save_curves
from ganzoo.plugins import Registry
from ganzoo.runs import Run, numbers
from ganzoo.training import checkpoint
from ganzoo.training.feed import Feed
from ganzoo.training.options import TrainOptions
from ganzoo.training.progress import Progress
from ganzoo.training.showing import Shown, sheet_shape, sheets
from ganzoo.training.stages import Moment
from ganzoo.training.state import TrainState
from ganzoo.training.tally import Report, Tally
from ganzoo.training.tracking import Tracker

PLOT_EVERY = 30.0  # seconds between redrawings of the curves, which take about half a second


def crossed(kimg: float, progress: Progress, batch: int) -> bool:
    """Whether a step of `batch` images crossed a multiple of so many kimg. A function of the images seen alone, so that
    a resumed run reports, evaluates and saves where it would have."""
    length = kimg * 1000
    return progress.images // length > (progress.images - batch) // length


def to_evaluate(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether such a step crossed the time to evaluate."""
    return options.evaluate_every is not None and crossed(options.evaluate_every, progress, batch)


def due(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether such a step crossed the end of a tick, or the time to evaluate."""
    return crossed(options.tick, progress, batch) or to_evaluate(options, progress, batch)


class Reporter:
    """Collects loss terms on the device, and at each tick fetches them: the only time the host waits for numbers."""

    def __init__(
        self,
        run: Run,
        options: TrainOptions,
        registry: Registry,
        description: Mapping[str, Any],
        progress: Progress,
        shown: Shown | None = None,
        stop: Callable[[], bool] = lambda: False,
        tracker: Tracker | None = None,
    ) -> None:
        """`shown` are the images that a translating model is watched by. Once `stop` says so, no picture is made, and
        the `tracker` measures nothing."""
        self.run, self.options, self.registry, self.description = run, options, registry, description
        self._tally = Tally()
        former = run.stats()
        self._ticks, self._seconds = len(former), float(former[-1]["seconds"]) if former else 0.0
        self._tick_began, self._images_before = time.perf_counter(), progress.images
        self._idle, self._idle_images = 0.0, 0
        self._plotted = 0.0
        self._saved_at: int | None = None
        self._sampled_at: int | None = None
        self._writer = checkpoint.Writer(self._saved)
        self._slow = 0  # convolutions that Jittor did not recognise
        self._in_stages = False
        self._shown, self._stop, self._tracker = shown, stop, tracker
        self._domains: tuple[str, ...] = ()
        self._panels: Mapping[str, str] = {}
        goal = round(options.kimg * 1000)
        self._bar = tqdm(
            total=goal / 1000,
            initial=progress.kimg,
            unit="kimg",
            desc=run.path.name,
            bar_format="{desc}: {percentage:3.0f}%|{bar:20}| {n:.1f}/{total:.0f} kimg [{elapsed}<{remaining}]{postfix}",
            mininterval=0.5,
        )

    def say(self, message: str) -> None:
        """Print a line above the progress bar and keep it in log.txt. A terminal that has gone stops nothing."""
        with contextlib.suppress(OSError):
            self._bar.write(message)
        self.run.log(message)

    def terms(self, phase: Phase, means: Mapping[str, Any], good: Any) -> None:
        """Add one run of a phase to the sums of this tick, without waiting for the numbers."""
        self._tally.add(phase, means, good)

    def watched(self, phase: Phase, values: Mapping[str, Any], good: Any) -> None:
        """The same with numbers that are no part of the loss."""
        self._tally.watch(phase, values, good)

    def compiled(self) -> None:
        """Tell, once, of kernels that are far slower than they should be."""
        slow, self._slow = self._slow, backend.unrecognised_convolutions()
        if slow == 0 < self._slow:
            self.say(
                f"warning: Jittor does not recognise {self._slow} of the convolutions and computes them by plain "
                "loops, a hundred times slower. Use ganzoo.Conv, ganzoo.ConvTranspose or ganzoo.conv2d in the networks."
            )

    def not_training(self, seconds: float, images: int) -> None:
        """Leave steps in which kernels are compiled out of img/s."""
        self._idle += seconds
        self._idle_images += images

    def stepped(self, state: TrainState) -> None:
        """Move the bar after a step."""
        self._bar.update(state.progress.kimg - self._bar.n)

    def due(self, progress: Progress, batch: int) -> bool:
        """Whether there is something to report after the step just done, of `batch` images."""
        return due(self.options, progress, batch)

    def moment(self, state: TrainState, moment: Moment) -> None:
        """Tell which stage begins, and save what the former one led to."""
        stages = state.schedule.stages
        if len(stages) == 1:
            return
        stage = moment.stage
        what = f"stage {moment.index + 1} of {len(stages)}: {stage.size} px, batches of {stage.batch}"
        if moment.fading:
            what += f", faded in over {stage.fade / 1000:g} kimg"
        self.say(f"{state.progress.kimg:.1f} kimg: {what}")
        if self._in_stages:
            if not self._tally.empty:
                self.tick(state)
            self.save(state)
        self._in_stages = True

    def start(self, state: TrainState, feed: Feed, size: int) -> None:
        """Real images of `size` px, for later comparison."""
        self._panels, self._domains = state.setup.loss.panels, state.data.domains
        if self._tracker:
            self._tracker.check(state)
        options: dict[str, Any] = self.run.options()
        self._notify("ganzoo_run_start", run=self.run.path, options=options)
        if state.progress.images == 0:
            count = min(math.prod(sheet_shape(size)), len(feed.dataset))
            reals = next(feed.loader(size, count, Draw()).batches()).images
            images.save(self.run.path / "reals.png", images.grid(reals, *sheet_shape(size)))
        self._tick_began = time.perf_counter()

    def begun(self, state: TrainState) -> None:
        """Samples from the beginning of a run, when its first step is done."""
        began = time.perf_counter()
        with backend.watch_kernels("first samples"):
            self._sample(state)
        self.not_training(time.perf_counter() - began, 0)

    def tick(self, state: TrainState, batch: int = 0) -> None:
        """Fetch the losses, write everything that is due after a step of `batch` images, and tell the plugins."""
        backend.wait()
        report = self._tally.fetch()
        row = self._row(state, report, time.perf_counter() - self._tick_began)
        if self._tracker and to_evaluate(self.options, state.progress, batch) and not self._stop():
            row["metrics"] = self._evaluated(self._tracker, state)
        self.run.append_stats(row)
        self._show(row)
        self._check_best(row)
        if report.in_a_row > self.options.max_skips:
            raise self._diverged(state, report)
        if "metrics" in row or crossed(self.options.tick * self.options.snapshot, state.progress, batch):
            self.save(state)
        if not self._stop():
            self._sample(state)
        if not self._stop() and time.perf_counter() - self._plotted > PLOT_EVERY:
            self._plot()
        self._notify("ganzoo_tick", run=self.run.path, stats=row)
        self._tick_began, self._images_before = time.perf_counter(), state.progress.images
        self._idle, self._idle_images = 0.0, 0

    def _evaluated(self, tracker: Tracker, state: TrainState) -> dict[str, float]:
        with backend.watch_kernels("evaluating"):
            found = tracker.measure(state, self.run.path, self.say)
        self.say(f"{state.progress.kimg:.1f} kimg: {', '.join(f'{name} {found[name]:.4g}' for name in found)}")
        return found

    def _show(self, row: Mapping[str, Any]) -> None:
        losses = ", ".join(f"{key} {value:.3g}" for key, value in row["losses"].items())
        self._bar.set_postfix_str(f"{row['images_per_second']:.0f} img/s, {losses}")
        self.run.log(self._bar.postfix or "")
        if row["skipped"]:
            self.say(
                f"{row['kimg']:.1f} kimg: {row['skipped']} updates of this tick skipped, as their loss or gradient was "
                "not finite"
            )

    def _check_best(self, row: Mapping[str, Any]) -> None:
        """OptionError if --keep-best names no number of the statistics."""
        wanted = self.options.keep_best
        known = list(numbers(row))
        if self._tracker and wanted is not None and wanted.startswith("metrics/") and not row.get("metrics"):
            return  # there will be
        if wanted is not None and wanted not in known and not row["skipped"]:
            raise OptionError(
                f"--keep-best {wanted}: the statistics have no such number, but {', '.join(known)}."
                f"{near_match(wanted, known)}"
            )

    def _diverged(self, state: TrainState, report: Report) -> DivergedError:
        self._writer.wait()  # so that the last checkpoint is named
        return DivergedError(
            f"training diverged: {report.in_a_row} updates in a row had a loss or a gradient that is not finite, up to "
            f"{state.progress.kimg:.1f} kimg. They were skipped. The last checkpoint is from before: "
            f"{checkpoint.newest(self.run.path) or 'there is none yet'}. Resume from it with a lower learning rate, "
            "or let --retry 3 try other seeds."
        )

    def _row(self, state: TrainState, report: Report, seconds: float) -> dict[str, Any]:
        progress, moment = state.progress, state.moment or state.upcoming()
        self._ticks, self._seconds = self._ticks + 1, self._seconds + seconds
        images_done = progress.images - self._images_before - self._idle_images
        training = max(seconds - self._idle, 1e-9)
        if not images_done:  # nothing but such steps
            images_done, training = self._idle_images, seconds
        return {
            "tick": self._ticks,
            "step": progress.step,
            "images": progress.images,
            "kimg": progress.kimg,
            "size": moment.stage.size,
            "alpha": round(moment.alpha, 6),
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
        for name, sheet in sheets(state, self._shown, self._domains):
            images.save(self.run.path / f"samples-{state.progress.images:09d}{name}.png", sheet)
            if self._stop():
                break

    def _plot(self) -> None:
        save_curves(self.run.path / "losses.png", self.run.stats(), self._panels)
        self._plotted = time.perf_counter()

    def save(self, state: TrainState) -> None:
        """Copy the state and have it written to a checkpoint, while training goes on."""
        if self._saved_at == state.progress.images:
            return
        path = self.run.path / checkpoint.name_at(state.progress.images)
        self._writer.save(path, state.arrays(), {**self.description, **state.metadata()})
        self._saved_at = state.progress.images

    def _saved(self, path: Path) -> None:
        """What follows when a checkpoint is on the disk. In the thread that writes."""
        self.run.log(f"saved {path.name}")
        checkpoint.prune(self.run.path, self.options.keep, self._best())

    def _best(self) -> Path | None:
        """The checkpoint at which the number named by --keep-best was lowest, or that of the tracker was best."""
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
        """A last report for a tick that was begun, the curves, and a checkpoint."""
        if not self._tally.empty:
            self.tick(state)
        self.save(state)
        if not self._stop():
            self._plot()
        self._writer.wait()

    def close(self, outcome: str) -> None:
        """Take the bar down, let a checkpoint be written to its end, and tell the plugins how it ended."""
        self._bar.close()
        try:
            self._writer.wait()
        except CheckpointError as error:
            self.say(str(error))
        self.run.log(outcome)
        self._notify("ganzoo_run_end", run=self.run.path, outcome=outcome)

    def _notify(self, event: str, **arguments: Any) -> None:
        for failure in self.registry.notify(event, **arguments):
            self.say(failure)
