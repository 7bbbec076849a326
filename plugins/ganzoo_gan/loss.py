"""The original GAN loss, in its non-saturating form."""

from __future__ import annotations

from typing import Any

from ganzoo import Batch, Discriminator, Generator, Loss, Phase, Progress, binary_cross_entropy


class GANLoss(Loss):
    """Updates the generator first; the discriminator's update reuses the same fakes, as in gan-jittor.

    Discriminator: half the sum of the cross-entropies on real and fake images. Generator: cross-entropy of its fakes
    against the target 'real' (Goodfellow et al. 2014, section 3).
    """

    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",)))

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        self.generator, self.discriminator = generator, discriminator

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        labels = batch.conditions(self.generator)
        if phase.name == "generator":
            fakes = self.generator(batch.latents(self.generator.latent), *labels)
            batch.cache["fakes"] = fakes.detach()
            return {"adversarial": binary_cross_entropy(self.discriminator(fakes, *labels), real=True)}
        return {
            "real": 0.5 * binary_cross_entropy(self.discriminator(batch.images, *labels), real=True),
            "fake": 0.5 * binary_cross_entropy(self.discriminator(batch.cache["fakes"], *labels), real=False),
        }
