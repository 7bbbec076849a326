"""Training progress: an immutable value that each step replaces, and that checkpoints store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Progress of training: the number of steps done (`step`) and of real images seen (`images`), the index of the
    current stage (`stage`), and the number of real images seen in that stage (`stage_images`).

    `goal` is the number of images after which training ends (None: unknown). It is not stored, because --kimg sets it
    anew whenever a run is started or resumed.
    """

    step: int = 0
    images: int = 0
    stage: int = 0
    stage_images: int = 0
    goal: int | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def from_metadata(cls, described: Mapping[str, Any]) -> Progress:
        """Read the progress from a checkpoint's description, ignoring its other entries. TypeError or ValueError if it
        is invalid."""
        known = {name: described[name] for name in cls._stored() if name in described}
        if any(type(value) is not int or value < 0 for value in known.values()):
            raise ValueError("progress must consist of whole numbers")
        return cls(**known)

    def to_metadata(self) -> dict[str, int]:
        """Return what a checkpoint stores: everything but the goal."""
        return {name: getattr(self, name) for name in self._stored()}

    @classmethod
    def _stored(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls) if field.name != "goal"]

    @property
    def fraction(self) -> float:
        """The part of training that is done, in [0, 1]: images seen / goal; 0 if the goal is unknown.

        If a run is resumed with a larger --kimg, the fraction drops to that of a run which had this --kimg from the
        start. So a decayed learning rate rises again, and then decays until the new end.
        """
        return min(1.0, self.images / self.goal) if self.goal else 0.0

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
