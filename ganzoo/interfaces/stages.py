"""Stages of progressive training (Karras et al. 2018, section 2): image and batch size change as the networks grow.

The position within the stages is a function of Progress alone, so a resumed run needs no other state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganzoo.errors import OptionError
from ganzoo.interfaces.progress import Progress


@dataclass(frozen=True)
class Stage:
    """Training on images of `size` px in batches of `batch`.

    The stage ends once it has seen more than `images` real images (None: when training ends). Over the first `fade`
    images, the new resolution is faded in. `learning_rate` and `ema_decay` (per step) override those of the Setup; the
    learning rate then stays constant in this stage, even if the Setup has a schedule, but multipliers still apply.
    `reset` clears the optimizers' state when the stage begins and when its fade ends. At most `micro_batch` images go
    through the networks at once, and no more than the user's limit (None: only the user's limit applies).
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
    """A stage, its `index`, and how far its resolution is faded in: `alpha` in [0, 1]."""

    index: int
    stage: Stage
    alpha: float

    @property
    def fading(self) -> bool:
        """Whether the previous resolution is still blended in."""
        return self.alpha < 1

    def same_networks(self, other: StagePosition | None) -> bool:
        """Return whether both positions train the same networks, so that no new kernel is needed."""
        return other is not None and (self.index, self.fading) == (other.index, other.fading)


def unreached_stages(stages: Sequence[Stage], goal: int, progress: Progress = Progress()) -> int:  # noqa: B008 (Progress is frozen)
    """Return the number of stages that training won't reach if it goes on from `progress` up to `goal` images."""
    schedule, remaining = Schedule(stages), goal - progress.images
    while progress.stage < len(stages) - 1:
        stage = stages[progress.stage]
        steps = max(0, (stage.images or 0) - progress.stage_images) // stage.batch + 1
        remaining -= steps * stage.batch
        if remaining <= 0:
            break
        progress = schedule.advance(progress.after(steps * stage.batch))
    return len(stages) - 1 - progress.stage


class Schedule:
    """The stages of a run, in order."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        if not stages or any(stage.images is None for stage in stages[:-1]):
            raise ValueError("a schedule needs stages, and each but the last needs a length")
        self.stages = tuple(stages)

    def advance(self, progress: Progress) -> Progress:
        """Return the progress, moved to the next stage if its stage is over. OptionError if its stage does not
        exist."""
        if progress.stage >= len(self.stages):
            raise OptionError(
                f"this run is already at stage {progress.stage + 1}, but the options define only {len(self.stages)}."
            )
        length = self.stages[progress.stage].images
        last = progress.stage == len(self.stages) - 1
        return progress if last or length is None or progress.stage_images <= length else progress.next_stage()

    def position(self, progress: Progress) -> StagePosition:
        """Return the stage and alpha of the next step. Alpha is (images seen in the stage + 1) / fade, at most 1, and 0
        in the first step of a stage with a fade."""
        stage = self.stages[min(progress.stage, len(self.stages) - 1)]
        done = progress.stage_images
        alpha = 1.0 if stage.fade == 0 else 0.0 if done == 0 else min(1.0, (done + 1) / stage.fade)
        return StagePosition(progress.stage, stage, alpha)
