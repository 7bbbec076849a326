"""How far training is: an immutable value that flows forward and is kept in the checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`step` updates done, `images` real images seen, `tick` reports made, `seconds` of training time, and where
    training is within its stages: the number of the `stage` and `stage_images`, the real images seen in it."""

    step: int = 0
    images: int = 0
    tick: int = 0
    seconds: float = 0.0
    stage: int = 0
    stage_images: int = 0

    @property
    def kimg(self) -> float:
        """Thousands of real images seen."""
        return self.images / 1000

    def after(self, images: int) -> Progress:
        """The progress one step of `images` images later."""
        return dataclasses.replace(
            self, step=self.step + 1, images=self.images + images, stage_images=self.stage_images + images
        )

    def grown(self) -> Progress:
        """The progress at the beginning of the next stage."""
        return dataclasses.replace(self, stage=self.stage + 1, stage_images=0)

    def ticked(self, seconds: float) -> Progress:
        """The progress after a report, `seconds` of training after the last one."""
        return dataclasses.replace(self, tick=self.tick + 1, seconds=self.seconds + seconds)
