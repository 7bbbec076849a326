"""The least-squares loss (Mao et al. 2017, equation 9 with a = 0, b = c = 1)."""

from __future__ import annotations

from typing import Any

from ganzoo import Batch, Discriminator, Generator, Loss, Phase, Progress, least_squares

GENERATOR = Phase("generator", ("generator",))
DISCRIMINATOR = Phase("discriminator", ("discriminator",))


class LSGANLoss(Loss):
    """The zoo variant (that of gan-jittor) updates the generator first, shows the same fakes to the discriminator and
    halves the discriminator's loss. The tutorial variant updates the discriminator first, draws new fakes for the
    generator and halves nothing."""

    phases = (GENERATOR, DISCRIMINATOR)

    def __init__(self, generator: Generator, discriminator: Discriminator, tutorial: bool) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.weight = 1.0 if tutorial else 0.5
        if tutorial:
            self.phases = (DISCRIMINATOR, GENERATOR)

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        labels = batch.conditions(self.generator)
        if phase is GENERATOR:
            fakes = self.generator(batch.latents(self.generator.latent), *labels)
            batch.cache["fakes"] = fakes.detach()
            return {"adversarial": least_squares(self.discriminator(fakes, *labels), real=True)}
        fakes = batch.cache.get("fakes")
        if fakes is None:
            fakes = self.generator(batch.latents(self.generator.latent), *labels).detach()
        return {
            "real": self.weight * least_squares(self.discriminator(batch.images, *labels), real=True),
            "fake": self.weight * least_squares(self.discriminator(fakes, *labels), real=False),
        }
