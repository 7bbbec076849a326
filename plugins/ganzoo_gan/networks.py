"""The basic GAN's networks, as in gan-jittor and PyTorch-GAN."""

from __future__ import annotations

import math
from typing import Any

from ganzoo import BatchNorm, ClassProjection, Discriminator, Generator, LeakyReLU, Linear, Tanh, jt

nn = jt.nn
SLOPE = 0.2  # negative slope of leaky ReLU
GENERATOR_WIDTHS = (128, 256, 512, 1024)
DISCRIMINATOR_WIDTHS = (512, 256)


class MLPGenerator(Generator):
    """z (N, latent) -> 4 x [linear, batch norm except in the first, leaky ReLU] -> linear -> tanh -> images. If there
    are classes, the label is appended to z (Mirza & Osindero 2014, section 3.2)."""

    def __init__(self, latent: int, shape: tuple[int, int, int], norm_eps: float, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.shape, self.classes = latent, shape, classes
        layers: list[Any] = []
        width = latent + classes
        for index, wider in enumerate(GENERATOR_WIDTHS):
            layers.append(Linear(width, wider))
            if index > 0:
                layers.append(BatchNorm(wider, eps=norm_eps))
            layers.append(LeakyReLU(SLOPE))
            width = wider
        self.layers = nn.Sequential(*layers, Linear(width, math.prod(shape)), Tanh())

    def execute(self, z: Any, *labels: Any) -> Any:
        inputs = jt.concat([z, *labels], 1) if labels else z
        return self.layers(inputs).reshape((z.shape[0], *self.shape))


class MLPDiscriminator(Discriminator):
    """Images -> 2 x [linear, leaky ReLU] -> linear -> a logit (N, 1); the sigmoid is part of the loss. If there are
    classes, the label is projected onto the inputs of the last layer."""

    def __init__(self, shape: tuple[int, int, int], classes: int = 0) -> None:
        super().__init__()
        layers: list[Any] = []
        width = math.prod(shape)
        for narrower in DISCRIMINATOR_WIDTHS:
            layers += [Linear(width, narrower), LeakyReLU(SLOPE)]
            width = narrower
        self.layers = nn.Sequential(*layers, Linear(width, 1))
        self.projection = ClassProjection(classes, width) if classes else None

    def freezable_blocks(self) -> list[tuple[str, ...]]:
        return [(f"layers.{2 * index}.",) for index in range(len(DISCRIMINATOR_WIDTHS))]

    def execute(self, images: Any, *labels: Any) -> Any:
        *hidden, score = self.layers
        features = images.reshape((images.shape[0], -1))
        for layer in hidden:
            features = layer(features)
        scores = score(features)
        return scores if self.projection is None else scores + self.projection(features, *labels)
