"""When something is due: reports, measurements, checkpoints and the end, by the images seen.

Lengths in kimg become whole images here, so that no rounding of a float decides. What is due is a function of the
images seen alone: a resumed run reports, measures and saves where it would have.
"""

from __future__ import annotations

from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.train_options import TrainOptions


def whole_images(kimg: float) -> int:
    """A length in whole images."""
    return round(kimg * 1000)


def goal(options: TrainOptions) -> int:
    """After how many images training ends."""
    return whole_images(options.kimg)


def tick_length(options: TrainOptions) -> int:
    """The images of a tick: at least one."""
    return max(1, whole_images(options.tick))


def ends_tick(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether the step just done, of `batch` images, ended a tick."""
    return _crossed(tick_length(options), progress, batch)


def ends_snapshot(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether it ended a tick with a checkpoint."""
    return _crossed(tick_length(options) * options.snapshot, progress, batch)


def to_evaluate(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether it came to a measurement."""
    every = options.evaluate_every or 0.0
    return every > 0 and _crossed(max(1, whole_images(every)), progress, batch)


def to_report(options: TrainOptions, progress: Progress, batch: int) -> bool:
    """Whether it ended a tick or came to a measurement."""
    return ends_tick(options, progress, batch) or to_evaluate(options, progress, batch)


def _crossed(length: int, progress: Progress, batch: int) -> bool:
    """Whether a step of `batch` images came to a multiple of `length` images, or passed one."""
    return progress.images // length > (progress.images - batch) // length
