"""Generator and critic as in the paper's code for 32 px (gan_cifar.py), extended to any power of two."""

from __future__ import annotations

from typing import Any

import ganzoo
from ganzoo import BatchNorm, Conv, ConvTranspose, LeakyReLU, Linear, Tanh, jt

nn = jt.nn
START = 4  # side in px of the smallest feature maps
KERNEL = 5
SLOPE = 0.2  # negative slope of leaky ReLU


def widths(width: int, size: int) -> list[int]:
    """Return the channels after each halving of the image down to START px: width, 2 width, 4 width ..."""
    return [width << stage for stage in range((size // START).bit_length() - 1)]


class Generator(ganzoo.Generator):
    """z -> linear to START px, batch norm, ReLU -> n x [transposed conv 5x5 stride 2, batch norm, ReLU] -> transposed
    conv 5x5 stride 2 -> tanh."""

    def __init__(self, latent: int, width: int, size: int, channels: int) -> None:
        super().__init__()
        self.latent = latent
        deepest, *others = reversed(widths(width, size))
        self.deepest = deepest
        self.project = Linear(latent, deepest * START**2)
        layers: list[Any] = [BatchNorm(deepest), nn.ReLU()]
        for narrower in others:
            layers += [_double(deepest, narrower), BatchNorm(narrower), nn.ReLU()]
            deepest = narrower
        self.layers = nn.Sequential(*layers, _double(deepest, channels), Tanh())

    def execute(self, z: Any) -> Any:
        return self.layers(self.project(z).reshape((z.shape[0], self.deepest, START, START)))


def _double(channels: int, narrower: int) -> Any:
    return ConvTranspose(channels, narrower, KERNEL, 2, padding=KERNEL // 2, output_padding=1)


class Critic(ganzoo.Discriminator):
    """Images -> n x [conv 5x5 stride 2, leaky ReLU] -> linear -> score (N, 1).

    No batch normalisation, because the penalty is on the gradient for each image separately (section 4 of the paper).
    """

    def __init__(self, width: int, size: int, channels: int) -> None:
        super().__init__()
        layers: list[Any] = []
        for wider in widths(width, size):
            layers += [Conv(channels, wider, KERNEL, stride=2, padding=KERNEL // 2), LeakyReLU(SLOPE)]
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.score = Linear(channels * START**2, 1)

    def execute(self, images: Any) -> Any:
        return self.score(self.layers(images).reshape((images.shape[0], -1)))
