"""When reports, metrics, checkpoints and the end of training are due, by the number of images seen.

Lengths in kimg are converted to whole images here, so results never depend on float rounding. Nothing but the images
seen decides what is due, so a resumed run reports, evaluates and saves at the same points as an uninterrupted one.
"""

from __future__ import annotations

from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.train_options import TrainOptions


def whole_images(kimg: float) -> int:
    """Convert kimg to a whole number of images."""
    return round(kimg * 1000)


def total_images(options: TrainOptions) -> int:
    """Return the number of images after which training ends."""
    return whole_images(options.kimg)


def tick_length(options: TrainOptions) -> int:
    """Return the number of images in a tick, at least 1."""
    return max(1, whole_images(options.tick))


def ends_tick(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Return whether the latest step, of `batch` images, ended a tick."""
    return _crossed(tick_length(options), progress, batch)


def checkpoint_due(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Return whether the latest step ended a tick that saves a checkpoint."""
    return _crossed(tick_length(options) * options.snapshot, progress, batch)


def evaluation_due(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Return whether metrics are due after the latest step."""
    every = options.evaluate_every or 0.0
    return every > 0 and _crossed(max(1, whole_images(every)), progress, batch)


def report_due(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Return whether the latest step ended a tick or metrics are due after it."""
    return ends_tick(options, progress, batch) or evaluation_due(options, progress, batch)


def _crossed(length: int, progress: Progress, batch: int) -> bool:
    """Return whether the latest step, of `batch` images, reached or passed a multiple of `length` images."""
    return progress.images // length > (progress.images - batch) // length
