"""StyleGAN's generator and discriminator (Karras et al. 2019), which grow from 4 px.

`paper=False` follows the public PyTorch port, whose checkpoints people use; `paper=True` follows the authors' code.
README.md lists the differences. Lists run from the coarsest resolution to the finest: entry i is for 4 * 2**i px.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo import Discriminator, StyleGenerator, average_pool, jt, leaky_relu, linear, scalar, upsample_nearest
from ganzoo_stylegan.layers import (
    SQRT2,
    AdaIN,
    DownConv,
    EqualConv,
    EqualLinear,
    UpConv,
    blur,
    minibatch_stddev,
    pixel_norm,
)
from ganzoo_stylegan.options import FUSED_FROM

nn: Any = jt.nn
MINIBATCH_GROUP = 4  # group size of the paper's minibatch stddev
TRUNCATION_CUTOFF = 8  # number of layers that the authors' code truncates


@dataclass(frozen=True)
class NetworkConfig:
    """The dimensions of both networks: size and channels of the images, widths, the design (port or paper), and the
    number of classes (0: not class-conditional)."""

    size: int
    img_channels: int
    latent: int = 512
    mapping_layers: int = 8
    channels_base: int = 16384
    channels_max: int = 512
    paper: bool = False
    classes: int = 0

    @property
    def sizes(self) -> list[int]:
        """The resolutions in px: 4, 8, ... up to the size of the images."""
        return [2**power for power in range(2, self.size.bit_length())]

    def channels(self, size: int) -> int:
        """Return the number of feature maps at a resolution."""
        return max(1, min(self.channels_base // size, self.channels_max))

    @property
    def gain(self) -> float:
        """The gain of style layers, toRGB convolutions and the discriminator's last layer."""
        return 1.0 if self.paper else SQRT2


class ProgressiveMixin:
    """A mixin for both networks: the current resolution and its fade-in."""

    config: NetworkConfig
    trainable: Any
    named_modules: Any

    def grow(self, size: int, alpha: float) -> None:
        if size not in self.config.sizes:
            raise ValueError(f"{size} px is not one of the resolutions {self.config.sizes}")
        self.level, self.fading = self.config.sizes.index(size), alpha < 1 and size > 4
        self._alpha = scalar(alpha)

    def blend(self, coarse: Any, fine: Any) -> Any:
        """Fade from the coarser to the finer resolution (Karras et al. 2018, figure 2)."""
        return coarse + self._alpha * (fine - coarse)

    def weight_scales(self) -> dict[str, float]:
        layers = {name: each for name, each in self.named_modules() if isinstance(each, (EqualConv, EqualLinear))}
        return {f"{name}.weight": layer.scale for name, layer in layers.items()}

    def active_weights(self) -> dict[str, Any]:
        return {name: var for name, var in self.trainable().items() if self._is_used(name)}

    def _is_used(self, name: str) -> bool:
        parts = name.split(".")
        if "blocks" in parts:
            return int(parts[parts.index("blocks") + 1]) <= self.level
        for layer in ("to_rgb", "from_rgb"):
            if layer in parts:
                level = int(parts[parts.index(layer) + 1])
                return level == self.level or (self.fading and level == self.level - 1)
        return True


class StyledLayer(nn.Module):  # type: ignore[misc]
    """The layers after a convolution: noise, leaky ReLU, AdaIN. In the paper's design, the bias follows the noise."""

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        self.noise = jt.zeros((1, channels, 1, 1))  # the learned strength for each channel
        self.adain = AdaIN(channels, config.latent, 1e-8 if config.paper else 1e-5, config.gain)
        self.noise_scale = 1.0 if config.paper else math.sqrt(2 / channels)

    def execute(self, x: Any, w: Any, noise: Any, bias: Any = None) -> Any:
        x = x + self.noise * self.noise_scale * noise
        if bias is not None:
            x = x + bias.reshape((1, -1, 1, 1))
        return self.adain(leaky_relu(x), w)


class SynthesisBlock(nn.Module):  # type: ignore[misc]
    """Two styled layers at one resolution. The first is preceded by an upsampling convolution or, at 4 px, by a learned
    constant."""

    def __init__(self, size: int, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels(size)
        self.paper, self.first = config.paper, size == 4
        if self.first:
            self.const = jt.ones((1, channels, 4, 4)) if config.paper else jt.randn(1, channels, 4, 4)
            if config.paper:
                self.bias = jt.zeros(channels)
        else:
            fused_scale = 1.0 if config.paper else 1 / 4
            self.conv1 = UpConv(config.channels(size // 2), channels, size >= FUSED_FROM, fused_scale)
        self.layer1 = StyledLayer(channels, config)
        self.conv2 = EqualConv(channels, channels, 3)
        self.layer2 = StyledLayer(channels, config)

    def execute(self, x: Any, styles: Sequence[Any], noise: Sequence[Any]) -> Any:
        if self.first:
            n = styles[0].shape[0]
            x, bias = self.const.broadcast((n, *self.const.shape[1:])), self.bias if self.paper else None
        else:
            x, bias = self.conv1.convolve(x), self.conv1.bias
            if not self.paper:
                x, bias = self.conv1.add_bias(x), None
            x = blur(x)
        x = self.layer1(x, styles[0], noise[0], bias)
        if self.paper:
            return self.layer2(self.conv2.convolve(x), styles[1], noise[1], self.conv2.bias)
        return self.layer2(self.conv2(x), styles[1], noise[1])


class Mapping(nn.Module):  # type: ignore[misc]
    """Maps z (N, latent), normalised to length sqrt(latent), to w (N, latent) by fully connected layers. If there are
    classes, an embedding of the label, normalised in the same way, is appended to z (Karras et al. 2020,
    arXiv:2006.06676, appendix E)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        latent, classes = config.latent, config.classes
        self.embedding = EqualLinear(classes, latent, gain=1.0) if classes else None
        first = EqualLinear(2 * latent if classes else latent, latent)
        self.layers = nn.Sequential(first, *[EqualLinear(latent, latent) for _ in range(config.mapping_layers - 1)])

    def execute(self, z: Any, *labels: Any) -> Any:
        w = pixel_norm(z)
        if self.embedding is not None:
            w = jt.concat([w, pixel_norm(self.embedding(*labels))], 1)
        for layer in self.layers:
            w = leaky_relu(layer(w))
        return w


class Synthesis(nn.Module):  # type: ignore[misc]
    """The synthesis network: a block and a toRGB convolution per resolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[SynthesisBlock(size, config) for size in config.sizes])
        self.to_rgb = nn.Sequential(
            *[EqualConv(config.channels(size), config.img_channels, 1, config.gain) for size in config.sizes]
        )


class Generator(ProgressiveMixin, StyleGenerator):
    """z -> mapping -> w -> synthesis -> images (Karras et al. 2019, figure 1b).

    If `w_avg_beta` is not 0, the network keeps a running average of w, with that decay per batch.
    """

    def __init__(self, config: NetworkConfig, w_avg_beta: float = 0.0) -> None:
        super().__init__()
        self.config, self.latent, self.w_avg_beta = config, config.latent, w_avg_beta
        self.classes = config.classes
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        self.truncation_layers = TRUNCATION_CUTOFF if config.paper else None
        if w_avg_beta:
            self.w_average = jt.zeros(config.latent).stop_grad()
        self.grow(config.size, 1.0)

    def map(self, z: Any, *labels: Any) -> Any:
        w = self.mapping(z, *labels)
        if self.w_avg_beta and self.is_train:
            mean = w.detach().mean([0])
            self.w_average.update(self.w_average + (1 - self.w_avg_beta) * (mean - self.w_average))
        return w

    def style_layers(self) -> int:
        return 2 * (self.level + 1)

    def noise_sizes(self) -> list[int]:
        """Return the side of each noise map: one per layer in the paper's design, one per resolution in the port's."""
        maps = 2 if self.config.paper else 1
        return [size for size in self.config.sizes[: self.level + 1] for _ in range(maps)]

    def synthesise(self, styles: Sequence[Any], noise: Sequence[Any]) -> Any:
        before = x = None
        for level, maps in enumerate(self._by_block(noise)):
            before, x = x, self.synthesis.blocks[level](x, styles[2 * level : 2 * level + 2], maps)
        images = self.synthesis.to_rgb[self.level](x)
        if not self.fading:
            return images
        return self.blend(upsample_nearest(self.synthesis.to_rgb[self.level - 1](before)), images)

    def _by_block(self, noise: Sequence[Any]) -> Iterator[Sequence[Any]]:
        for level in range(self.level + 1):
            yield noise[2 * level : 2 * level + 2] if self.config.paper else [noise[level]] * 2


class DiscriminatorBlock(nn.Module):  # type: ignore[misc]
    """Two convolutions. A blur precedes the second, which halves the resolution."""

    def __init__(self, size: int, config: NetworkConfig) -> None:
        super().__init__()
        inputs, outputs = config.channels(size), config.channels(size // 2)
        self.conv1 = EqualConv(inputs, inputs if config.paper else outputs, 3)
        self.conv2 = DownConv(inputs if config.paper else outputs, outputs, size >= FUSED_FROM)

    def execute(self, x: Any) -> Any:
        return leaky_relu(self.conv2(blur(leaky_relu(self.conv1(x)))))


class DiscriminatorEpilogue(nn.Module):  # type: ignore[misc]
    """Minibatch stddev, a convolution, and a fully connected layer over all 4x4 pixels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels(4)
        self.conv1 = EqualConv(channels + 1, channels, 3)
        self.conv2 = EqualConv(channels, channels, 4)
        self.group = MINIBATCH_GROUP if config.paper else None

    def execute(self, x: Any) -> Any:
        x = leaky_relu(self.conv1(minibatch_stddev(x, self.group)))
        weight = self.conv2.weight.reshape((x.shape[1], -1))
        scores = linear(x.reshape((x.shape[0], -1)), weight) * self.conv2.scale
        return leaky_relu(scores + self.conv2.bias)


class StyleDiscriminator(ProgressiveMixin, Discriminator):
    """Progressive GAN's discriminator with a blur before each downsampling (Karras et al. 2019, section 2). If there
    are classes, an embedding of the label is projected onto the inputs of the last layer (Miyato & Koyama 2018)."""

    def __init__(self, config: NetworkConfig, from_rgb_activation: bool = True) -> None:
        super().__init__()
        self.config, self.from_rgb_activation = config, from_rgb_activation
        self.from_rgb = nn.Sequential(
            *[EqualConv(config.img_channels, config.channels(size), 1) for size in config.sizes]
        )
        self.blocks = nn.Sequential(
            DiscriminatorEpilogue(config), *[DiscriminatorBlock(size, config) for size in config.sizes[1:]]
        )
        width, classes = config.channels(4), config.classes
        self.linear = EqualLinear(width, 1, config.gain)
        # A gain of sqrt(classes) makes the embedding of each class N(0, 1).
        self.embedding = EqualLinear(classes, width, math.sqrt(classes)) if classes else None
        self.grow(config.size, 1.0)

    def freezable_blocks(self) -> list[tuple[str, ...]]:
        return [(f"from_rgb.{level}.", f"blocks.{level}.") for level in range(len(self.config.sizes) - 1, 0, -1)]

    def execute(self, images: Any, *labels: Any) -> Any:
        x = self._features(images, self.level)
        for level in range(self.level, -1, -1):
            x = self.blocks[level](x)
            if self.fading and level == self.level:
                x = self.blend(self._features(average_pool(images), level - 1), x)
        scores = self.linear(x)
        if self.embedding is None:
            return scores
        return scores + (self.embedding(*labels) * x).sum([1], keepdims=True) / math.sqrt(x.shape[1])

    def _features(self, images: Any, level: int) -> Any:
        x = self.from_rgb[level](images)
        return leaky_relu(x) if self.from_rgb_activation else x
