"""LSGAN's networks as in Jittor's tutorial (112 px): a generator of transposed convolutions."""

from __future__ import annotations

from typing import Any

import ganzoo
from ganzoo import BatchNorm, ClassProjection, Conv, ConvTranspose, LeakyReLU, Linear, Tanh, jt
from ganzoo_lsgan.options import VARIANT_DEFAULTS

nn = jt.nn
SLOPE = 0.2  # negative slope of leaky ReLU
NORM_EPS = VARIANT_DEFAULTS["tutorial"].norm_eps
BASE_WIDTH = 256
UP = ((256, 2), (256, 1), (256, 2), (256, 1), (128, 2), (64, 2))  # output channels and stride of each transposed conv
DOWN = (64, 128, 256, 512)


class Generator(ganzoo.Generator):
    """z -> linear to (256, size/16, size/16) -> 6 transposed convs, 4 of which double the size -> conv -> tanh."""

    def __init__(self, latent: int, size: int, channels: int, norm_eps: float = NORM_EPS, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.classes, self.start = latent, classes, size // 16
        self.project = Linear(latent + classes, BASE_WIDTH * self.start**2)
        self.project_norm = BatchNorm(BASE_WIDTH, eps=norm_eps)
        layers: list[Any] = []
        width = BASE_WIDTH
        for wider, stride in UP:
            up = ConvTranspose(width, wider, 3, stride, padding=1, output_padding=stride - 1)
            layers += [up, BatchNorm(wider, eps=norm_eps), nn.ReLU()]
            width = wider
        self.layers = nn.Sequential(*layers, ConvTranspose(width, channels, 3, 1, padding=1), Tanh())

    def execute(self, z: Any, *labels: Any) -> Any:
        inputs = jt.concat([z, *labels], 1) if labels else z
        x = self.project(inputs).reshape((z.shape[0], BASE_WIDTH, self.start, self.start))
        return self.layers(nn.relu(self.project_norm(x)))


class Discriminator(ganzoo.Discriminator):
    """Images -> 4 x [conv 5x5 stride 2, batch norm except in the first, leaky ReLU] -> linear -> score."""

    decision_boundary = 0.5  # of least squares

    def __init__(self, size: int, channels: int, norm_eps: float = NORM_EPS, classes: int = 0) -> None:
        super().__init__()
        layers: list[Any] = []
        width = channels
        for wider in DOWN:
            layers.append(Conv(width, wider, 5, stride=2, padding=2))
            if len(layers) > 1:
                layers.append(BatchNorm(wider, eps=norm_eps))
            layers.append(LeakyReLU(SLOPE))
            width = wider
        self.layers = nn.Sequential(*layers)
        features = width * (size // 16) ** 2
        self.score = Linear(features, 1)
        self.projection = ClassProjection(classes, features) if classes else None

    def freezable_blocks(self) -> list[tuple[str, ...]]:
        starts = [index for index, layer in enumerate(self.layers) if isinstance(layer, Conv)]
        ends = [*starts[1:], len(self.layers)]
        return [tuple(f"layers.{index}." for index in range(start, end)) for start, end in zip(starts, ends)]

    def execute(self, images: Any, *labels: Any) -> Any:
        features = self.layers(images).reshape((images.shape[0], -1))
        scores = self.score(features)
        return scores if self.projection is None else scores + self.projection(features, *labels)
