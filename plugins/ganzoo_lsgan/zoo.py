"""LSGAN's networks as in gan-jittor and PyTorch-GAN: upsampling generator, discriminator with dropout."""

from __future__ import annotations

from typing import Any

import ganzoo
from ganzoo import (
    BatchNorm,
    ClassProjection,
    Conv,
    Dropout,
    LeakyReLU,
    Linear,
    UpsampledConv,
    init_dcgan,
    jt,
    leaky_relu,
    tanh,
)
from ganzoo_lsgan.options import VARIANT_DEFAULTS

nn = jt.nn
SLOPE = 0.2  # negative slope of leaky ReLU
NORM_EPS = VARIANT_DEFAULTS["zoo"].norm_eps
DROPOUT = 0.25
INIT_STD = 0.02
BASE_WIDTH = 128
WIDTHS = (16, 32, 64, 128)


class Generator(ganzoo.Generator):
    """z -> linear to (128, size/4, size/4) -> 2 x [double, conv 3x3, batch norm, leaky ReLU] -> conv 3x3 -> tanh."""

    def __init__(self, latent: int, size: int, channels: int, norm_eps: float = NORM_EPS, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.classes, self.start = latent, classes, size // 4
        self.project = Linear(latent + classes, BASE_WIDTH * self.start**2)
        self.conv1 = UpsampledConv(BASE_WIDTH, 128)
        self.norm1 = BatchNorm(128, eps=norm_eps)
        self.conv2 = UpsampledConv(128, 64)
        self.norm2 = BatchNorm(64, eps=norm_eps)
        self.to_image = Conv(64, channels, 3, padding=1)
        init_dcgan(self, INIT_STD)

    def execute(self, z: Any, *labels: Any) -> Any:
        inputs = jt.concat([z, *labels], 1) if labels else z
        x = self.project(inputs).reshape((z.shape[0], BASE_WIDTH, self.start, self.start))
        # Fusing leaky ReLU with the batch norm saves a tenth of a step's time at these sizes.
        x = leaky_relu(self.norm1(self.conv1(x)), SLOPE, fused=True)
        x = leaky_relu(self.norm2(self.conv2(x)), SLOPE, fused=True)
        return tanh(self.to_image(x))


class Discriminator(ganzoo.Discriminator):
    """Images -> 4 x [conv 3x3 stride 2, leaky ReLU, dropout, batch norm except in the first] -> linear -> score."""

    decision_boundary = 0.5  # of least squares

    def __init__(
        self, size: int, channels: int, norm_eps: float = NORM_EPS, dropout: float = DROPOUT, classes: int = 0
    ) -> None:
        super().__init__()
        layers: list[Any] = []
        width = channels
        for wider in WIDTHS:
            layers += [Conv(width, wider, 3, stride=2, padding=1), LeakyReLU(SLOPE), Dropout(dropout)]
            if len(layers) > 3:
                layers.append(BatchNorm(wider, eps=norm_eps))
            width = wider
        self.layers = nn.Sequential(*layers)
        features = width * (size // 16) ** 2
        self.score = Linear(features, 1)
        self.projection = ClassProjection(classes, features) if classes else None
        init_dcgan(self, INIT_STD)

    def freezable_blocks(self) -> list[tuple[str, ...]]:
        starts = [index for index, layer in enumerate(self.layers) if isinstance(layer, Conv)]
        ends = [*starts[1:], len(self.layers)]
        return [tuple(f"layers.{index}." for index in range(start, end)) for start, end in zip(starts, ends)]

    def execute(self, images: Any, *labels: Any) -> Any:
        features = self.layers(images).reshape((images.shape[0], -1))
        scores = self.score(features)
        return scores if self.projection is None else scores + self.projection(features, *labels)
