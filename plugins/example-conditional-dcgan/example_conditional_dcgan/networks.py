"""DCGAN's networks (Radford et al. 2016), with labels, and spectral norm in the discriminator."""

from __future__ import annotations

from typing import Any

import ganzoo
from ganzoo import BatchNorm, ClassProjection, Conv, ConvTranspose, LeakyReLU, Linear, Tanh, jt, spectral_norm

nn = jt.nn
START = 4  # side in px of the smallest feature maps


def widths(width: int, size: int) -> list[int]:
    """Return the feature maps after each halving of the image down to START px: width, 2 width, 4 width ..."""
    return [width << stage for stage in range((size // START).bit_length() - 1)]


class Generator(ganzoo.Generator):
    """z and label -> linear to START px -> n x [batch norm, ReLU, transposed conv 4x4 stride 2] -> tanh."""

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int) -> None:
        super().__init__()
        self.latent, self.classes = latent, classes
        self.deepest, *others = reversed(widths(width, size))
        self.project = Linear(latent + classes, self.deepest * START**2)
        layers: list[Any] = []
        wide = self.deepest
        for narrower in (*others, channels):
            layers += [BatchNorm(wide), nn.ReLU(), ConvTranspose(wide, narrower, 4, 2, padding=1)]
            wide = narrower
        self.layers = nn.Sequential(*layers, Tanh())

    def execute(self, z: Any, labels: Any) -> Any:
        x = self.project(jt.concat([z, labels], 1))
        return self.layers(x.reshape((z.shape[0], self.deepest, START, START)))


class ProjectionDiscriminator(ganzoo.Discriminator):
    """Images -> n x [conv 4x4 stride 2, leaky ReLU] -> linear + projection of the label -> score."""

    def __init__(self, width: int, size: int, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[Any] = []
        for wider in widths(width, size):
            layers += [spectral_norm(Conv(channels, wider, 4, 2, padding=1)), LeakyReLU(0.2)]
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.score = spectral_norm(Linear(channels * START**2, 1))
        self.projection = ClassProjection(classes, channels * START**2)

    def execute(self, images: Any, labels: Any) -> Any:
        features = self.layers(images).reshape((images.shape[0], -1))
        return self.score(features) + self.projection(features, labels)
