"""How far training is: an immutable value that flows forward and is kept in the checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """`step` updates done, `images` real images seen, and where training is within its stages: the number of the
    `stage` and `stage_images`, the real images seen in it."""

    step: int = 0
    images: int = 0
    stage: int = 0
    stage_images: int = 0

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Progress:
        """From a checkpoint's description, whose other entries are left out. TypeError or ValueError if it is none."""
        known = {field.name: described[field.name] for field in dataclasses.fields(cls) if field.name in described}
        if any(type(value) is not int or value < 0 for value in known.values()):
            raise ValueError("progress is counted in whole numbers")
        return cls(**known)

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
