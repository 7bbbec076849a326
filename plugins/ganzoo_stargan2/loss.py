"""StarGAN v2's four updates (Choi et al. 2020, section 2.2): of the discriminator and of the generator, each once with
styles from random latents and once with styles from reference images.

Computations that updates have in common are done once. The generator's encoder does not depend on the style, so its
features are used for all translations of an image. The generator does not change while the discriminator is updated,
so the translation made for the first update is reused in the third. The results equal the reference implementation's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganzoo import Batch, Loss, Phase, Progress, binary_cross_entropy, differentiable, r1_penalty, scalar

if TYPE_CHECKING:
    from ganzoo_stargan2.networks import Discriminator, Generator, MappingNetwork, Masks, StyleEncoder
    from ganzoo_stargan2.options import StarGAN2Options
    from ganzoo_stargan2.translator import Landmarks

    Features = tuple[Any, Mapping[int, Any]]


class StarGAN2Loss(Loss):
    """The weighted loss terms of all four updates."""

    phases = (
        Phase("D-latent", ("discriminator",)),
        Phase("D-reference", ("discriminator",)),
        Phase("G-latent", ("generator", "mapping", "encoder")),
        Phase("G-reference", ("generator",)),
    )
    panels = {
        "D real": "D-*/real",
        "D fake": "D-*/fake",
        "D R1": "D-*/reg",
        "G adversarial": "G-*/adv",
        "G style": "G-*/sty",
        "G diversity": "G-*/ds",
        "G cycle": "G-*/cyc",
        "lambda ds": "G-*/lambda_ds",
        "total": "*/total",
    }

    def __init__(
        self,
        generator: Generator,
        mapping: MappingNetwork,
        encoder: StyleEncoder,
        discriminator: Discriminator,
        options: StarGAN2Options,
        landmarks: Landmarks | None = None,
    ) -> None:
        self.generator, self.mapping, self.encoder, self.discriminator = generator, mapping, encoder, discriminator
        self.options, self.landmarks = options, landmarks

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        if phase.name == "D-latent":
            batch.cache["z"] = [batch.latents(self.options.latent) for _ in range(2)]
            return self._discriminator_terms(batch, self._translate_with_latents(batch)[2].detach())
        if phase.name == "D-reference":
            cached = batch.cache.get("latent")
            features = _detached(cached[0] if cached else self.generator.encode_features(batch.images))
            style = self.encoder(batch.references[0], batch.targets).detach()
            return self._discriminator_terms(
                batch, self.generator.decode_features(features, style, self._masks(batch)).detach()
            )
        if phase.name == "G-latent":
            features, style, fake = self._translate_with_latents(batch)
            batch.cache.pop("latent", None)
            other = self.mapping(batch.cache["z"][1], batch.targets)
        else:
            features = self.generator.encode_features(batch.images)
            style, other = (self.encoder(images, batch.targets).detach() for images in batch.references)
            fake = self.generator.decode_features(features, style, self._masks(batch))
        second = self.generator.decode_features(_detached(features), other.detach(), self._masks(batch)).detach()
        return self._generator_terms(batch, fake, style, second, self.diversity_weight(progress))

    def diversity_weight(self, progress: Progress) -> float:
        """Return the weight of the diversity term, which falls linearly from --lambda-ds to 0 over --ds-iter steps."""
        assert self.options.lambda_ds is not None, "resolved when the run began"
        return self.options.lambda_ds * max(0.0, 1.0 - progress.step / self.options.ds_iter)

    def _translate_with_latents(self, batch: Batch) -> tuple[Features, Any, Any]:
        """Return features, styles from latents, and the images translated with them. The first update caches them with
        their graph for the third, unless a step has several micro-batches, whose graphs would all be in memory."""
        if "latent" in batch.cache:
            return batch.cache["latent"]
        features, style = self.generator.encode_features(batch.images), self.mapping(batch.cache["z"][0], batch.targets)
        translation = features, style, self.generator.decode_features(features, style, self._masks(batch))
        if batch.micro_batches == 1:
            batch.cache["latent"] = translation
        return translation

    def _discriminator_terms(self, batch: Batch, fake: Any) -> dict[str, Any]:
        real = differentiable(batch.images)
        scores = self.discriminator(real, batch.labels)
        terms = {
            "real": binary_cross_entropy(scores, real=True),
            "fake": binary_cross_entropy(self.discriminator(fake, batch.targets), real=False),
        }
        if self.options.lambda_reg:
            terms["reg"] = self.options.lambda_reg / 2 * r1_penalty(scores, real)
        batch.logged["total"] = sum(terms.values())
        return terms

    def _generator_terms(self, batch: Batch, fake: Any, style: Any, second: Any, ds_weight: float) -> dict[str, Any]:
        options = self.options
        reconstruction = self.generator(fake, self.encoder(batch.images, batch.labels), self._masks_of(fake.detach()))
        diversity = (fake - second).abs().mean()
        weight = scalar(ds_weight, ndim=2)
        terms = {
            "adv": binary_cross_entropy(self.discriminator(fake, batch.targets), real=True),
            "sty": options.lambda_sty * (self.encoder(fake, batch.targets) - style).abs().mean(),
            "ds": -(weight * diversity).mean(),
            "cyc": options.lambda_cyc * (reconstruction - batch.images).abs().mean(),
        }
        batch.logged.update(
            total=sum(terms.values()),
            lambda_ds=weight.mean(),
            diversity=diversity,
            fake_min=fake.min(),
            fake_max=fake.max(),
        )
        return terms

    def _masks(self, batch: Batch) -> Masks | None:
        """Return the masks of the source images, computed once per batch."""
        if self.landmarks is not None and "masks" not in batch.cache:
            batch.cache["masks"] = self.landmarks.masks(batch.images)
        return batch.cache.get("masks")

    def _masks_of(self, images: Any) -> Masks | None:
        return None if self.landmarks is None else self.landmarks.masks(images)


def _detached(features: Features) -> Features:
    """Detach the generator's features from the graph."""
    last, skips = features
    return last.detach(), {side: each.detach() for side, each in skips.items()}
