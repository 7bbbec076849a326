"""What training shows and leaves: the progress bar, statistics, curves, samples, checkpoints, plugin events."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from ganzoo import backend, images
from ganzoo.data import Draw
from ganzoo.errors import RunError
from ganzoo.loss import Phase
from ganzoo.plots import save_curves
from ganzoo.plugins import Registry
from ganzoo.runs import Run
from ganzoo.training import checkpoint
from ganzoo.training.feed import Feed
from ganzoo.training.options import TrainOptions
from ganzoo.training.progress import Progress
from ganzoo.training.showing import Shown, sheet_shape, sheets
from ganzoo.training.stages import Moment
from ganzoo.training.state import TrainState

PLOT_EVERY = 30.0  # seconds between redrawings of the curves, which take about half a second


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
    ) -> None:
        """`shown` are the images that a translating model is watched by."""
        self.run, self.options, self.registry, self.description = run, options, registry, description
        self._sums: dict[str, tuple[Any, int]] = {}
        self._watched: dict[str, tuple[Any, int]] = {}
        self._tick_began, self._images_before = time.perf_counter(), progress.images
        self._idle, self._idle_images = 0.0, 0
        self._plotted = 0.0
        self._saved_at: int | None = None
        self._in_stages = False
        self._shown = shown
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
        """Print a line above the progress bar and keep it in log.txt."""
        self._bar.write(message)
        self.run.log(message)

    def terms(self, phase: Phase, means: Mapping[str, Any]) -> None:
        """Add one run of a phase to the sums of this tick, without waiting for the numbers."""
        _add(self._sums, phase, means)

    def watched(self, phase: Phase, values: Mapping[str, Any]) -> None:
        """The same with numbers that are no part of the loss."""
        _add(self._watched, phase, values)

    def not_training(self, seconds: float, images: int) -> None:
        """Leave steps in which kernels are compiled out of img/s."""
        self._idle += seconds
        self._idle_images += images

    def stepped(self, state: TrainState) -> None:
        """Move the bar after a step."""
        self._bar.update(state.progress.kimg - self._bar.n)

    def due(self, progress: Progress, batch: int) -> bool:
        """Whether the step just done, of `batch` images, crossed the end of a tick."""
        length = self.options.tick * 1000
        return progress.images // length > (progress.images - batch) // length

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
            if self._sums:
                self.tick(state)  # which refuses losses that are not finite: no such weights may replace good ones
            self.save(state)
        self._in_stages = True

    def start(self, state: TrainState, feed: Feed, size: int) -> None:
        """Real images of `size` px and untrained samples, for later comparison."""
        self._panels, self._domains = state.setup.loss.panels, state.data.domains
        options: dict[str, Any] = self.run.options()
        self._notify("ganzoo_run_start", run=self.run.path, options=options)
        if state.progress.images == 0:
            count = min(math.prod(sheet_shape(size)), len(feed.dataset))
            reals = next(feed.loader(size, count, Draw()).batches()).images
            images.save(self.run.path / "reals.png", images.grid(reals, *sheet_shape(size)))
            with backend.watch_kernels("first samples"):
                self._sample(state)
        self._tick_began = time.perf_counter()

    def tick(self, state: TrainState) -> None:
        """Fetch the losses, write everything that is due, and tell the plugins."""
        backend.wait()
        losses, watched = _means(self._sums), _means(self._watched)
        seconds = time.perf_counter() - self._tick_began
        state.progress = state.progress.ticked(seconds)
        row = {**self._row(state, losses, seconds), "watched": watched}
        bad = [key for key, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise RunError(
                f"the loss {bad[0]} is no longer a finite number at {state.progress.kimg:.1f} kimg. "
                f"The last checkpoint is from before: {checkpoint.newest(self.run.path) or 'there is none yet'}. "
                "Resume from it with a lower learning rate."
            )
        self.run.append_stats(row)
        self._bar.set_postfix_str(
            f"{row['images_per_second']:.0f} img/s, " + ", ".join(f"{key} {value:.3g}" for key, value in losses.items())
        )
        self.run.log(self._bar.postfix or "")
        self._sample(state)
        if time.perf_counter() - self._plotted > PLOT_EVERY:
            self._plot()
        if state.progress.tick % self.options.snapshot == 0:
            self.save(state)
        self._notify("ganzoo_tick", run=self.run.path, stats=row)
        self._tick_began, self._images_before = time.perf_counter(), state.progress.images
        self._idle, self._idle_images = 0.0, 0

    def _row(self, state: TrainState, losses: dict[str, float], seconds: float) -> dict[str, Any]:
        progress, moment = state.progress, state.moment or state.upcoming()
        images_done = progress.images - self._images_before - self._idle_images
        training = max(seconds - self._idle, 1e-9)
        if not images_done:  # nothing but such steps
            images_done, training = self._idle_images, seconds
        return {
            "tick": progress.tick,
            "step": progress.step,
            "images": progress.images,
            "kimg": progress.kimg,
            "size": moment.stage.size,
            "alpha": round(moment.alpha, 6),
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(images_done / training, 2),
            "seconds_per_kimg": round(training / max(images_done, 1) * 1000, 4),
            "memory_bytes": backend.memory(),
            "losses": losses,
        }

    def _sample(self, state: TrainState) -> None:
        for name, sheet in sheets(state, self._shown, self._domains):
            images.save(self.run.path / f"samples-{state.progress.images:09d}{name}.png", sheet)

    def _plot(self) -> None:
        save_curves(self.run.path / "losses.png", self.run.stats(), self._panels)
        self._plotted = time.perf_counter()

    def save(self, state: TrainState) -> None:
        """Write a checkpoint now."""
        if self._saved_at == state.progress.images:
            return
        path = self.run.path / checkpoint.name_at(state.progress.images)
        checkpoint.write(path, state.tensors(), {**self.description, **state.metadata()})
        checkpoint.prune(self.run.path, self.options.keep)
        self._saved_at = state.progress.images

    def finish(self, state: TrainState) -> None:
        """A last report for a tick that was begun, the curves, and a checkpoint."""
        if self._sums:
            self.tick(state)
        self._plot()
        self.save(state)

    def close(self, outcome: str) -> None:
        """Take the bar down and tell the plugins how it ended."""
        self._bar.close()
        self.run.log(outcome)
        self._notify("ganzoo_run_end", run=self.run.path, outcome=outcome)

    def _notify(self, event: str, **arguments: Any) -> None:
        for failure in self.registry.notify(event, **arguments):
            self.say(failure)


def _add(sums: dict[str, tuple[Any, int]], phase: Phase, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        key = f"{phase.name}/{name}"
        total, count = sums.get(key, (0.0, 0))
        sums[key] = (value + total, count + 1)


def _means(sums: dict[str, tuple[Any, int]]) -> dict[str, float]:
    """The means of what was added, which are fetched now. The sums begin anew."""
    means = {key: float(total.item()) / count for key, (total, count) in sorted(sums.items())}
    sums.clear()
    return means
