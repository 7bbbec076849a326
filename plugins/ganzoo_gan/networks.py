"""The basic GAN's networks, as in gan-jittor and PyTorch-GAN."""

from __future__ import annotations

import math
from typing import Any

from ganzoo import BatchNorm, Discriminator, Generator, LeakyReLU, Linear, Tanh, jt

nn = jt.nn
SLOPE = 0.2  # negative slope of leaky ReLU
GENERATOR_WIDTHS = (128, 256, 512, 1024)
DISCRIMINATOR_WIDTHS = (512, 256)


class MLPGenerator(Generator):
    """z (N, latent) -> 4 x [linear, batch norm except in the first, leaky ReLU] -> linear -> tanh -> images."""

    def __init__(self, latent: int, shape: tuple[int, int, int], norm_eps: float) -> None:
        super().__init__()
        self.latent, self.shape = latent, shape
        layers: list[Any] = []
        width = latent
        for index, wider in enumerate(GENERATOR_WIDTHS):
            layers.append(Linear(width, wider))
            if index > 0:
                layers.append(BatchNorm(wider, eps=norm_eps))
            layers.append(LeakyReLU(SLOPE))
            width = wider
        self.layers = nn.Sequential(*layers, Linear(width, math.prod(shape)), Tanh())

    def execute(self, z: Any) -> Any:
        return self.layers(z).reshape((z.shape[0], *self.shape))


class MLPDiscriminator(Discriminator):
    """Images -> 2 x [linear, leaky ReLU] -> linear -> a logit (N, 1); the sigmoid is part of the loss."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        layers: list[Any] = []
        width = math.prod(shape)
        for narrower in DISCRIMINATOR_WIDTHS:
            layers += [Linear(width, narrower), LeakyReLU(SLOPE)]
            width = narrower
        self.layers = nn.Sequential(*layers, Linear(width, 1))

    def execute(self, images: Any) -> Any:
        return self.layers(images.reshape((images.shape[0], -1)))
