"""StyleGAN's losses: WGAN-GP, or the non-saturating loss with R1. Every image gets new noise; styles may be mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ganzoo import (
    Batch,
    Discriminator,
    Loss,
    Phase,
    Progress,
    average_pool,
    binary_cross_entropy,
    differentiable,
    gradient_penalty,
    mark_real,
    r1_penalty,
    scalar,
    upsample_nearest,
)
from ganzoo_stylegan.networks import Generator
from ganzoo_stylegan.options import StyleGANOptions


class StyleGANLoss(Loss):
    """Updates the discriminator, then the generator on new latents. Lazy R1 (`r1_interval` above 1) is a phase of its
    own, weighted by the interval (Karras et al. 2020, section 4.1); with `lazy_correction`, `StyleGAN.build` corrects
    Adam for it."""

    def __init__(self, generator: Generator, discriminator: Discriminator, options: StyleGANOptions) -> None:
        self.generator, self.discriminator, self.options = generator, discriminator, options
        self.lazy = options.loss == "r1" and options.r1_interval > 1
        lazy = (Phase("r1", ("discriminator",), options.r1_interval),) if self.lazy else ()
        self.phases = (Phase("discriminator", ("discriminator",)), *lazy, Phase("generator", ("generator",)))

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        labels = batch.conditions(self.generator)
        if phase.name == "generator":
            scores = self.discriminator(self.fakes(batch), *labels)
            adversarial = -scores.mean() if self.options.loss == "wgan-gp" else binary_cross_entropy(scores, real=True)
            return {"adversarial": adversarial}
        reals = self.reals(batch.images)
        if phase.name == "r1":
            return {"penalty": self._r1(self.discriminator(reals, *labels), reals) * self.options.r1_interval}
        return self._discriminator_terms(reals, self.fakes(batch).detach(), labels, batch)

    def _discriminator_terms(self, reals: Any, fakes: Any, labels: Sequence[Any], batch: Batch) -> dict[str, Any]:
        real, fake = self.discriminator(reals, *labels), self.discriminator(fakes, *labels)
        if self.options.loss == "wgan-gp":  # Gulrajani et al. 2017; drift: Karras et al. 2018, appendix A.1
            epsilon = batch.uniform(1, 1, 1)
            return {
                "real": -real.mean(),
                "fake": fake.mean(),
                "drift": self.options.drift * real.sqr().mean(),
                "penalty": self.options.gp_weight
                * gradient_penalty(lambda points: self.discriminator(points, *labels), reals, fakes, epsilon),
            }
        terms = {"real": binary_cross_entropy(real, real=True), "fake": binary_cross_entropy(fake, real=False)}
        return terms if self.lazy else {**terms, "penalty": self._r1(real, reals)}

    def _r1(self, scores: Any, reals: Any) -> Any:
        return self.options.r1_gamma / 2 * r1_penalty(scores, reals)

    def reals(self, images: Any) -> Any:
        """Return the real images; with `blend_reals`, blend in their half-size version while a resolution fades in."""
        if self.options.blend_reals and self.generator.fading:
            images = mark_real(self.generator.blend(upsample_nearest(average_pool(images)), images))
        return differentiable(images)  # R1 differentiates with respect to the images

    def fakes(self, batch: Batch) -> Any:
        """Generate as many images as the batch has, each with its own noise."""
        noise = [batch.normal(1, side, side) for side in self.generator.noise_sizes()]
        return self.generator.synthesise(self.styles(batch), noise)

    def styles(self, batch: Batch) -> list[Any]:
        """Return a w for each layer. With mixing, a random layer and all later ones get the w of a second latent
        (Karras et al. 2019, section 3.1)."""
        layers = self.generator.style_layers()
        labels = batch.conditions(self.generator)
        w = self.generator.map(batch.latents(self.generator.latent), *labels)
        if not self.options.mixing:
            return [w] * layers
        other = self.generator.mapping(batch.latents(self.generator.latent), *labels)
        first = self.crossover(batch.rng)
        uses_second = [scalar(layer >= first, ndim=2) for layer in range(layers)]
        return [w + second * (other - w) for second in uses_second]

    def crossover(self, rng: np.random.Generator) -> int:
        """Draw the first layer that uses the second latent. Return the number of layers if this batch is not mixed."""
        layers = self.generator.style_layers()
        if rng.random() >= self.options.mixing_prob or layers == 2:
            return layers
        if self.generator.config.paper:
            return int(rng.integers(1, layers))
        return 2 * int(rng.integers(1, layers // 2))
