"""The Wasserstein loss with gradient penalty (Gulrajani et al. 2017, equation 3 and algorithm 1)."""

from __future__ import annotations

from typing import Any

from ganzoo import Batch, Discriminator, Generator, Loss, Phase, Progress, gradient_penalty


class WGANGPLoss(Loss):
    """Updates the critic in every step, and the generator in every `n_critic`-th step: see `Phase.interval`."""

    def __init__(self, generator: Generator, critic: Discriminator, n_critic: int, penalty: float) -> None:
        self.generator, self.critic, self.penalty = generator, critic, penalty
        self.phases = (Phase("critic", ("critic",)), Phase("generator", ("generator",), interval=n_critic))

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        fakes = self.generator(batch.latents(self.generator.latent))
        if phase.name == "generator":
            return {"adversarial": -self.critic(fakes).mean()}
        fakes = fakes.detach()
        mix = batch.uniform(1, 1, 1)
        return {
            # The negative of this term is the critic's estimate of the Wasserstein distance.
            "wasserstein": self.critic(fakes).mean() - self.critic(batch.images).mean(),
            "penalty": self.penalty * gradient_penalty(self.critic, batch.images, fakes, mix),
        }
