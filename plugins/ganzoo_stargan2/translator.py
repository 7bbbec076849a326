"""Translation with StarGAN v2: generator, mapping network and style encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganzoo import Translator

if TYPE_CHECKING:
    import numpy as np

    from ganzoo_stargan2.landmarks import FAN
    from ganzoo_stargan2.networks import Generator, MappingNetwork, Masks, StyleEncoder


@dataclass(frozen=True)
class Landmarks:
    """Masks for the high-pass filtered skip connections of a face, from a landmark network that is not trained."""

    network: FAN

    def masks(self, images: Any) -> Masks:
        """Return the two masks (N, 1, 256, 256) for images (N, 3, H, W) in [-1, 1], without a gradient."""
        from ganzoo_stargan2.masks import masks

        return masks(self.network, images)


class StarGAN2Translator(Translator):
    """Translates images with the given networks."""

    def __init__(
        self,
        generator: Generator,
        mapping: MappingNetwork,
        encoder: StyleEncoder,
        latent: int,
        landmarks: Landmarks | None = None,
    ) -> None:
        self.generator, self.mapping, self.encoder = generator, mapping, encoder
        self.latent, self.landmarks = latent, landmarks

    def style_of_latents(self, z: Any, domains: np.ndarray) -> Any:
        return self.mapping(z, domains)

    def style_of_images(self, images: Any, domains: np.ndarray) -> Any:
        return self.encoder(images, domains)

    def translate(self, images: Any, styles: Any) -> Any:
        masks = None if self.landmarks is None else self.landmarks.masks(images)
        return self.generator(images, styles, masks)
