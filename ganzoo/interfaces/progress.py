"""Training progress: an immutable value that each step replaces, and that checkpoints store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Progress of training: the number of steps done (`step`) and of real images seen (`images`), the index of the
    current stage (`stage`), and the number of real images seen in that stage (`stage_images`)."""

    step: int = 0
    images: int = 0
    stage: int = 0
    stage_images: int = 0

    @classmethod
    def from_metadata(cls, described: Mapping[str, Any]) -> Progress:
        """Read the progress from a checkpoint's description, ignoring its other entries. TypeError or ValueError if it
        is invalid."""
        known = {field.name: described[field.name] for field in dataclasses.fields(cls) if field.name in described}
        if any(type(value) is not int or value < 0 for value in known.values()):
            raise ValueError("progress must consist of whole numbers")
        return cls(**known)

    @property
    def kimg(self) -> float:
        """Thousands of real images seen."""
        return self.images / 1000

    def after(self, images: int) -> Progress:
        """Return the progress after one more step, of `images` images."""
        return dataclasses.replace(
            self, step=self.step + 1, images=self.images + images, stage_images=self.stage_images + images
        )

    def next_stage(self) -> Progress:
        """Return the progress at the start of the next stage."""
        return dataclasses.replace(self, stage=self.stage + 1, stage_images=0)
