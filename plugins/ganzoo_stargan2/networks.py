"""The networks of StarGAN v2 (Choi et al. 2020, appendix A): generator, mapping network, style encoder, discriminator.

Weights have the names of the reference implementation. A shortcut's 1x1 convolution commutes with average pooling
and with nearest-neighbour upsampling. So it runs at the lower resolution, with the same result at a quarter of the
cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import ganzoo
from ganzoo import (
    LeakyReLU,
    Network,
    average_pool,
    centre_and_deviation,
    chunk,
    conv2d,
    jt,
    leaky_relu,
    linear,
    pick,
    pooled_conv2d,
    symmetric_filter,
    upsample_nearest,
    upsampled_conv2d,
)

nn: Any = jt.nn
SQRT2 = math.sqrt(2.0)
SKIP_SIZES = (32, 64, 128)  # resolutions in px of the high-pass filtered skip connections

Masks = Sequence[Any]  # two Vars (N, 1, H, W) in [0, 1]: for the skip at 32 px, and for those at 64 and 128 px


class Conv(nn.Module):  # type: ignore[misc]
    """A convolution of stride 1, initialised as in He et al. 2015: weights from N(0, 2 / fan-in), biases 0."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.weight = jt.randn(outputs, inputs, kernel, kernel) * math.sqrt(2 / (inputs * kernel**2))
        if bias:
            self.bias = jt.zeros(outputs)
        self.padding, self.has_bias = padding, bias

    def execute(self, x: Any) -> Any:
        return self._add_bias(conv2d(x, self.weight, padding=self.padding))

    def upsample_conv(self, x: Any) -> Any:
        """Upsample x by 2 (nearest neighbour), then convolve. For 3x3 kernels only."""
        return self._add_bias(upsampled_conv2d(x, self.weight))

    def conv_pool(self, x: Any) -> Any:
        """Convolve, then average-pool by 2. For 3x3 kernels only."""
        return self._add_bias(pooled_conv2d(x, self.weight))

    def _add_bias(self, x: Any) -> Any:
        return x + self.bias.reshape((1, -1, 1, 1)) if self.has_bias else x


class Linear(nn.Module):  # type: ignore[misc]
    """A linear layer, initialised as in He et al. 2015."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = jt.randn(outputs, inputs) * math.sqrt(2 / inputs)
        self.bias = jt.zeros(outputs)

    def execute(self, x: Any) -> Any:
        return linear(x, self.weight) + self.bias


class InstanceNorm(nn.Module):  # type: ignore[misc]
    """Normalises each feature map of (N, C, H, W) to mean 0 and variance 1, then scales and offsets each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = jt.ones(channels)
        self.bias = jt.zeros(channels)

    def execute(self, x: Any) -> Any:
        centred, deviation = centre_and_deviation(x)
        return centred * (self.weight.reshape((1, -1, 1, 1)) / deviation) + self.bias.reshape((1, -1, 1, 1))


class AdaIN(nn.Module):  # type: ignore[misc]
    """Adaptive instance normalisation: the scale 1 + gamma and the offset beta are linear in the style, (N,
    style_dim)."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.fc = Linear(style_dim, 2 * channels)

    def execute(self, x: Any, style: Any) -> Any:
        gamma, beta = chunk(self.fc(style), 2, ndim=4)
        centred, deviation = centre_and_deviation(x)
        return centred * ((1.0 + gamma) / deviation) + beta


class ResBlk(nn.Module):  # type: ignore[misc]
    """A pre-activation residual block of unit variance: (shortcut + residual) / sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, normalize: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.normalize, self.downsample, self.learned_shortcut = normalize, downsample, inputs != outputs
        self.conv1 = Conv(inputs, inputs, 3, 1)
        self.conv2 = Conv(inputs, outputs, 3, 1)
        if normalize:
            self.norm1, self.norm2 = InstanceNorm(inputs), InstanceNorm(inputs)
        if self.learned_shortcut:
            self.conv1x1 = Conv(inputs, outputs, 1, bias=False)

    def execute(self, x: Any) -> Any:
        shortcut = average_pool(x) if self.downsample else x
        if self.learned_shortcut:
            shortcut = self.conv1x1(shortcut)
        x = leaky_relu(self.norm1(x) if self.normalize else x)
        x = self.conv1.conv_pool(x) if self.downsample else self.conv1(x)
        x = self.conv2(leaky_relu(self.norm2(x) if self.normalize else x))
        return (shortcut + x) * (1 / SQRT2)


class AdainResBlk(nn.Module):  # type: ignore[misc]
    """A residual block with AdaIN. `no_shortcut` (for high-pass skips) omits the shortcut."""

    def __init__(self, inputs: int, outputs: int, width: int, no_shortcut: bool, upsample: bool = False) -> None:
        super().__init__()
        self.no_shortcut, self.upsample, self.learned_shortcut = no_shortcut, upsample, inputs != outputs
        self.conv1 = Conv(inputs, outputs, 3, 1)
        self.conv2 = Conv(outputs, outputs, 3, 1)
        self.norm1, self.norm2 = AdaIN(width, inputs), AdaIN(width, outputs)
        if self.learned_shortcut:
            self.conv1x1 = Conv(inputs, outputs, 1, bias=False)  # exists but is unused if no_shortcut

    def execute(self, x: Any, style: Any) -> Any:
        out = leaky_relu(self.norm1(x, style))
        out = self.conv1.upsample_conv(out) if self.upsample else self.conv1(out)
        out = self.conv2(leaky_relu(self.norm2(out, style)))
        if self.no_shortcut:
            return out
        shortcut = self.conv1x1(x) if self.learned_shortcut else x
        return ((upsample_nearest(shortcut) if self.upsample else shortcut) + out) * (1 / SQRT2)


class Generator(Network):
    """Maps images (N, C, size, size) and styles (N, style_dim) to images, whose values may exceed [-1, 1].

    If `w_hpf` is above 0, there are skip connections. Their features are multiplied by masks and high-pass filtered
    with the strength `w_hpf`.
    """

    def __init__(
        self,
        size: int,
        style_dim: int,
        max_channels: int = 512,
        w_hpf: float = 0.0,
        base: int = 2**14,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.w_hpf = w_hpf
        no_shortcut, width = w_hpf > 0, min(base // size, max_channels)
        down: list[Any] = []
        up: list[Any] = []
        self.from_rgb = Conv(channels, width, 3, 1)
        self.to_rgb = nn.Sequential(InstanceNorm(width), LeakyReLU(), Conv(width, channels, 1))
        for _ in range(int(math.log2(size)) - 4 + no_shortcut):
            wider = min(2 * width, max_channels)
            down.append(ResBlk(width, wider, normalize=True, downsample=True))
            up.insert(0, AdainResBlk(wider, width, style_dim, no_shortcut, upsample=True))
            width = wider
        for _ in range(2):
            down.append(ResBlk(width, width, normalize=True))
            up.insert(0, AdainResBlk(width, width, style_dim, no_shortcut))
        self.encode, self.decode = nn.ModuleList(down), nn.ModuleList(up)

    def active_weights(self) -> dict[str, Any]:
        shortcuts = [name for name in self.trainable() if name.startswith("decode.") and ".conv1x1." in name]
        unused = set(shortcuts if self.w_hpf > 0 else ())
        return {name: var for name, var in self.trainable().items() if name not in unused}

    def encode_features(self, images: Any) -> tuple[Any, Mapping[int, Any]]:
        """Encode images into the decoder's input, which is independent of the style: the last features, and the
        features for the skips by their size in px."""
        x, skips = self.from_rgb(images), {}
        for block in self.encode:
            if self.w_hpf > 0 and x.shape[2] in SKIP_SIZES:
                skips[x.shape[2]] = x
            x = block(x)
        return x, skips

    def decode_features(self, features: tuple[Any, Mapping[int, Any]], style: Any, masks: Masks | None = None) -> Any:
        """Decode `features` into images (N, C, size, size) in the styles (N, style_dim)."""
        x, skips = features
        for block in self.decode:
            x = block(x, style)
            side = x.shape[2]
            if masks is not None and side in skips:
                mask = nn.interpolate(masks[0 if side == SKIP_SIZES[0] else 1], size=(side, side), mode="bilinear")
                x = x + self._high_pass(mask * skips[side])
        return self.to_rgb(x)

    def _high_pass(self, x: Any) -> Any:
        return symmetric_filter(x, centre=8 / self.w_hpf, side=-1 / self.w_hpf, corner=-1 / self.w_hpf)

    def execute(self, images: Any, style: Any, masks: Masks | None = None) -> Any:
        return self.decode_features(self.encode_features(images), style, masks)


class MappingNetwork(Network):
    """Maps latents (N, latent) and domains (N,) to styles (N, style_dim), with an output branch per domain."""

    def __init__(self, latent: int, style_dim: int, domains: int, hidden: int = 512) -> None:
        super().__init__()
        self.shared = _mlp([latent] + 4 * [hidden], last=True)
        self.unshared = nn.ModuleList([_mlp(4 * [hidden] + [style_dim], last=False) for _ in range(domains)])

    def execute(self, z: Any, domains: np.ndarray) -> Any:
        h = self.shared(z)
        return pick(jt.stack([branch(h) for branch in self.unshared], 1), domains)


def _mlp(widths: Sequence[int], last: bool) -> Any:
    """Return linear layers with ReLUs between them, and with a ReLU at the end if `last`."""
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Linear(inputs, outputs), LeakyReLU(slope=0.0)]
    return nn.Sequential(*(layers if last else layers[:-1]))


def _trunk(size: int, max_channels: int, base: int, channels: int) -> tuple[list[Any], int]:
    """Return the layers from images to features (N, width, 1, 1), and the width."""
    width = min(base // size, max_channels)
    layers: list[Any] = [Conv(channels, width, 3, 1)]
    for _ in range(int(math.log2(size)) - 2):
        wider = min(2 * width, max_channels)
        layers.append(ResBlk(width, wider, downsample=True))
        width = wider
    return [*layers, LeakyReLU(), Conv(width, width, 4), LeakyReLU()], width


class StyleEncoder(Network):
    """Maps images (N, C, size, size) and domains (N,) to styles (N, style_dim), with an output layer per domain."""

    def __init__(
        self, size: int, style_dim: int, domains: int, max_channels: int = 512, base: int = 2**14, channels: int = 3
    ) -> None:
        super().__init__()
        layers, width = _trunk(size, max_channels, base, channels)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList([Linear(width, style_dim) for _ in range(domains)])

    def execute(self, images: Any, domains: np.ndarray) -> Any:
        h = self.shared(images).reshape((images.shape[0], -1))
        return pick(jt.stack([branch(h) for branch in self.unshared], 1), domains)


class Discriminator(ganzoo.Discriminator):
    """Maps images (N, C, size, size) and domains (N,) to logits (N,): whether each is a real image of its domain."""

    def __init__(self, size: int, domains: int, max_channels: int = 512, base: int = 2**14, channels: int = 3) -> None:
        super().__init__()
        layers, width = _trunk(size, max_channels, base, channels)
        self.main = nn.Sequential(*layers, Conv(width, domains, 1))

    def freezable_blocks(self) -> list[tuple[str, ...]]:
        first, *others = (f"main.{index}." for index, layer in enumerate(self.main) if isinstance(layer, ResBlk))
        return [("main.0.", first), *((name,) for name in others)]  # the first convolution belongs to the first block

    def execute(self, images: Any, domains: np.ndarray) -> Any:
        return pick(self.main(images).reshape((images.shape[0], -1)), domains)
