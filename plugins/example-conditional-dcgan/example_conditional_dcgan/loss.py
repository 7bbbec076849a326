"""The hinge loss (Lim & Ye 2017) on images and labels."""

from __future__ import annotations

from typing import Any

from ganzoo import Batch, Discriminator, Generator, Loss, Phase, Progress, hinge, wasserstein


class HingeLoss(Loss):
    """Updates the discriminator, then the generator. Generated images have the labels of the real ones."""

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        self.generator, self.discriminator = generator, discriminator

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        (labels,) = batch.conditions(self.generator)
        fakes = self.generator(batch.latents(self.generator.latent), labels)
        if phase.name == "generator":
            return {"adversarial": wasserstein(self.discriminator(fakes, labels), real=True)}
        return {
            "real": hinge(self.discriminator(batch.images, labels), real=True),
            "fake": hinge(self.discriminator(fakes.detach(), labels), real=False),
        }
