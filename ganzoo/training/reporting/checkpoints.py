"""Checkpoints of a run: when training saves them, and which are kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import OptionError, did_you_mean
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.runs import Run
from ganzoo.training.loss_stats import LossStats
from ganzoo.training.metric_tracker import MetricTracker
from ganzoo.training.state import TrainState


class CheckpointKeeper:
    """Saves checkpoints in the background, and deletes all but the newest (`--keep` of them) and the best."""

    def __init__(
        self, run: Run, options: TrainOptions, description: RunDescription, metric_tracker: MetricTracker | None
    ) -> None:
        self.run, self.options, self.description, self._metric_tracker = run, options, description, metric_tracker
        self._writer = checkpoint.Writer(self._saved)
        self._saved_at: int | None = None
        self._unreported = deque[Path]()
        self._keep_best_checked = not options.keep_best

    def save(self, state: TrainState) -> None:
        """Copy the state and write it in the background, unless it has been saved already."""
        if self._saved_at == state.progress.images:
            return
        path = self.run.path / checkpoint.file_name(state.progress.images)
        self._writer.save(path, state.arrays(), self.description, state.metadata())
        self._saved_at = state.progress.images

    def _saved(self, path: Path) -> None:
        """Log a checkpoint once it is on disk, and delete old ones. Called in the writer's thread."""
        self.run.log(f"saved {path.name}")
        self._prune()
        self._unreported.append(path)

    def new(self) -> Iterator[Path]:
        """Yield the checkpoints that have reached the disk since the last call and are still there."""
        while self._unreported:
            path = self._unreported.popleft()
            if path.exists():
                yield path

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk. CheckpointError if it can't be written."""
        self._writer.wait()

    def finish(self, state: TrainState) -> None:
        """Save the final state."""
        self.save(state)
        self.wait()
        self._prune()  # again, because the last metrics were measured after the last checkpoint was saved

    def newest(self) -> Path | None:
        """Return the last checkpoint, once it is on disk."""
        self.wait()
        return checkpoint.newest(self.run.path)

    def _prune(self) -> None:
        checkpoint.prune(self.run.path, self.options.keep, self._best())

    def _best(self) -> Path | None:
        """Return the checkpoint with the best value of --keep-best, by default the first metric of --evaluate. The
        lowest value is best, except for metrics whose higher values are better."""
        wanted, highest = self.options.keep_best, False
        if self._metric_tracker:
            wanted = wanted or self._metric_tracker.best_by
            highest = wanted in self._metric_tracker.higher_is_better
        values = self.run.values(wanted) if wanted else {}
        found = [path for path in checkpoint.list_checkpoints(self.run.path) if checkpoint.images_seen(path) in values]
        choose: Any = max if highest else min
        best: Path | None = choose(found, key=lambda path: values[checkpoint.images_seen(path)], default=None)
        return best

    def validate_keep_best(self, state: TrainState, loss_stats: LossStats) -> None:
        """Once every phase has run, raise OptionError if --keep-best names a number that the statistics won't
        contain."""
        if self._keep_best_checked or {phase.name for phase in state.setup.loss.phases} - loss_stats.phases:
            return
        self._keep_best_checked = True
        wanted = self.options.keep_best or ""
        known = sorted(loss_stats.names | (self._metric_tracker.names if self._metric_tracker else set()))
        if wanted not in known:
            raise OptionError(
                f"--keep-best {wanted}: no such number in the statistics. Available: {', '.join(known)}."
                f"{did_you_mean(wanted, known)}"
            )
