"""The original GAN loss, in its non-saturating form."""

from __future__ import annotations

from typing import Any

from ganzoo import Batch, Discriminator, Generator, Loss, Phase, Progress, binary_cross_entropy


class GANLoss(Loss):
    """The generator's step comes first; the discriminator's uses the same fakes again, as in gan-jittor.

    Discriminator: half the sum of its cross-entropies on real and fake images. Generator: cross-entropy of its fakes
    against 'real' (Goodfellow et al. 2014, section 3).
    """

    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",)))

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        self.generator, self.discriminator = generator, discriminator

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        if phase.name == "generator":
            fakes = self.generator(batch.latents(self.generator.latent))
            batch.cache["fakes"] = fakes.detach()
            return {"adversarial": binary_cross_entropy(self.discriminator(fakes), real=True)}
        return {
            "real": 0.5 * binary_cross_entropy(self.discriminator(batch.images), real=True),
            "fake": 0.5 * binary_cross_entropy(self.discriminator(batch.cache["fakes"]), real=False),
        }
