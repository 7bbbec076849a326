"""Stages of progressive training (Karras et al. 2018, section 2): images and batches change while the networks grow.

Where training is within its stages is a function of Progress alone, so a resumed run needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganzoo.errors import OptionError
from ganzoo.interfaces.progress import Progress


@dataclass(frozen=True)
class Stage:
    """Training on images of `size` px in batches of `batch`.

    It ends after more than `images` real images (None: with the training); over the first `fade` of them the new
    resolution is faded in. `learning_rate` and `ema_decay` (per step) replace those of
    the Setup; `reset` forgets Adam's moments when the stage begins and when its fade ends. `micro_batch` images at
    most go through the networks at once, if fewer than the user allows (None: as the user says).
    """

    size: int
    batch: int
    images: int | None = None
    fade: int = 0
    learning_rate: float | None = None
    ema_decay: float | None = None
    reset: bool = False
    micro_batch: int | None = None


@dataclass(frozen=True)
class StagePosition:
    """A stage by its `index`, and how far the new resolution is faded in: `alpha` in [0, 1]."""

    index: int
    stage: Stage
    alpha: float

    @property
    def fading(self) -> bool:
        """Whether the former resolution still counts."""
        return self.alpha < 1

    def alike(self, other: StagePosition | None) -> bool:
        """Whether the same networks are trained, so that no other kernel is needed."""
        return other is not None and (self.index, self.fading) == (other.index, other.fading)


def unreached(stages: Sequence[Stage], goal: int, progress: Progress = Progress()) -> int:  # noqa: B008 (it is frozen)
    """How many of the last stages training won't come to, if it goes on from `progress` up to `goal` images."""
    schedule, left = Schedule(stages), goal - progress.images
    while progress.stage < len(stages) - 1:
        stage = stages[progress.stage]
        steps = max(0, (stage.images or 0) - progress.stage_images) // stage.batch + 1
        left -= steps * stage.batch
        if left <= 0:
            break
        progress = schedule.advance(progress.after(steps * stage.batch))
    return len(stages) - 1 - progress.stage


class Schedule:
    """The stages of a run, one after the other."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        if not stages or any(stage.images is None for stage in stages[:-1]):
            raise ValueError("a schedule needs stages, and each but the last needs a length")
        self.stages = tuple(stages)

    def advance(self, progress: Progress) -> Progress:
        """The progress, in the next stage if its own is over. OptionError if there is no such stage."""
        if progress.stage >= len(self.stages):
            raise OptionError(
                f"this run is at stage {progress.stage + 1} already, but the options ask for {len(self.stages)} only."
            )
        length = self.stages[progress.stage].images
        last = progress.stage == len(self.stages) - 1
        return progress if last or length is None or progress.stage_images <= length else progress.grown()

    def position(self, progress: Progress) -> StagePosition:
        """The stage and alpha of the next step: (images + 1) / fade, and 0 at the very first."""
        stage = self.stages[min(progress.stage, len(self.stages) - 1)]
        done = progress.stage_images
        alpha = 1.0 if stage.fade == 0 else 0.0 if done == 0 else min(1.0, (done + 1) / stage.fade)
        return StagePosition(progress.stage, stage, alpha)
