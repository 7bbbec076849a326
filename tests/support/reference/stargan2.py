"""The four networks of StarGAN v2 in PyTorch (Choi et al. 2020, appendix).

Modules are named and registered so that `state_dict()` has the keys and the order of the authors' checkpoints.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Architecture:
    """The dimensions of all networks: `base // size` feature maps at full resolution. Each halving of the resolution
    doubles their number, up to `max_channels`. `w_hpf` above 0 adds the high-pass skips."""

    size: int
    style_dim: int = 64
    latent: int = 16
    hidden: int = 512
    domains: int = 3
    max_channels: int = 512
    base: int = 2**14
    w_hpf: float = 0.0

    def widths(self, stages: int) -> list[int]:
        """Return the numbers of feature maps at full size and after each of `stages` halvings."""
        first = self.base // self.size
        return [min(first << stage, self.max_channels) for stage in range(stages + 1)]


class ResBlk(nn.Module):
    """Two times instance norm, leaky ReLU and convolution, with a shortcut; the sum is divided by sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, normalize: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        if normalize:
            self.norm1 = nn.InstanceNorm2d(inputs, affine=True)
            self.norm2 = nn.InstanceNorm2d(inputs, affine=True)
        if inputs != outputs:
            self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.relu1, self.relu2 = nn.LeakyReLU(0.2), nn.LeakyReLU(0.2)
        self.normalize, self.downsample, self.learned = normalize, downsample, inputs != outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.conv1x1(x) if self.learned else x
        residual = self.conv1(self.relu1(self.norm1(x) if self.normalize else x))
        if self.downsample:
            shortcut, residual = F.avg_pool2d(shortcut, 2), F.avg_pool2d(residual, 2)
        residual = self.conv2(self.relu2(self.norm2(residual) if self.normalize else residual))
        return (shortcut + residual) / math.sqrt(2)


class AdaIN(nn.Module):
    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=False)
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        gamma, beta = self.fc(s)[:, :, None, None].chunk(2, dim=1)
        return (1 + gamma) * self.norm(x) + beta


class AdainResBlk(nn.Module):
    """Two times AdaIN, leaky ReLU and convolution. Networks with high-pass skips have no shortcut."""

    def __init__(self, inputs: int, outputs: int, architecture: Architecture, upsample: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm1, self.norm2 = AdaIN(architecture.style_dim, inputs), AdaIN(architecture.style_dim, outputs)
        if inputs != outputs:
            self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.relu1, self.relu2 = nn.LeakyReLU(0.2), nn.LeakyReLU(0.2)
        self.upsample, self.learned, self.skips = upsample, inputs != outputs, architecture.w_hpf > 0

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        residual = self.relu1(self.norm1(x, s))
        if self.upsample:
            residual = F.interpolate(residual, scale_factor=2, mode="nearest")
        residual = self.conv2(self.relu2(self.norm2(self.conv1(residual), s)))
        if self.skips:
            return residual
        shortcut = F.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x
        return (residual + (self.conv1x1(shortcut) if self.learned else shortcut)) / math.sqrt(2)


class HighPass(nn.Module):
    def __init__(self, w_hpf: float) -> None:
        super().__init__()
        kernel = torch.full((3, 3), -1.0)
        kernel[1, 1] = 8.0
        self.register_buffer("filter", kernel / w_hpf)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.filter.expand(channels, 1, 3, 3), padding=1, groups=channels)


class Generator(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        stages = architecture.size.bit_length() - 5 + (architecture.w_hpf > 0)
        widths = architecture.widths(stages)
        ups = list(itertools.pairwise(widths))
        most = widths[-1]
        self.from_rgb = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encode = nn.ModuleList(
            [ResBlk(few, many, normalize=True, downsample=True) for few, many in ups]
            + [ResBlk(most, most, normalize=True) for _ in range(2)]
        )
        self.decode = nn.ModuleList(
            [AdainResBlk(most, most, architecture) for _ in range(2)]
            + [AdainResBlk(many, few, architecture, upsample=True) for few, many in reversed(ups)]
        )
        self.to_rgb = nn.Sequential(
            nn.InstanceNorm2d(widths[0], affine=True), nn.LeakyReLU(0.2), nn.Conv2d(widths[0], 3, 1)
        )
        if architecture.w_hpf > 0:
            self.hpf = HighPass(architecture.w_hpf)

    def forward(
        self, x: torch.Tensor, s: torch.Tensor, masks: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return images. `masks` is a pair of (N, 1, h, w): the first for features of 32 px, the second for those of
        64 and 128 px."""
        x = self.from_rgb(x)
        cache = {}
        for block in self.encode:
            if masks is not None and x.shape[2] in (32, 64, 128):
                cache[x.shape[2]] = x
            x = block(x)
        for block in self.decode:
            x = block(x, s)
            side = x.shape[2]
            if masks is not None and side in (32, 64, 128):
                mask = F.interpolate(masks[0 if side == 32 else 1], size=side, mode="bilinear")
                x = x + self.hpf(mask * cache[side])
        return self.to_rgb(x)


class MappingNetwork(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.shared = nn.Sequential(*_layers(architecture.latent, architecture.hidden, 4))
        self.unshared = nn.ModuleList(
            nn.Sequential(
                *_layers(architecture.hidden, architecture.hidden, 3),
                nn.Linear(architecture.hidden, architecture.style_dim),
            )
            for _ in range(architecture.domains)
        )

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        shared = self.shared(z)
        return _select(torch.stack([branch(shared) for branch in self.unshared], dim=1), y)


def _layers(inputs: int, outputs: int, count: int) -> list[nn.Module]:
    pairs = [(nn.Linear(outputs if index else inputs, outputs), nn.ReLU()) for index in range(count)]
    return [layer for pair in pairs for layer in pair]


def _select(values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Select from values (N, K, ...) the one at each row's label."""
    return values[torch.arange(len(y)), y]


def _trunk(architecture: Architecture) -> list[nn.Module]:
    """Return the layers from images to features (N, C, 1, 1)."""
    widths = architecture.widths(architecture.size.bit_length() - 3)
    blocks = [ResBlk(few, many, downsample=True) for few, many in itertools.pairwise(widths)]
    last = widths[-1]
    ends = [nn.LeakyReLU(0.2), nn.Conv2d(last, last, 4), nn.LeakyReLU(0.2)]
    return [nn.Conv2d(3, widths[0], 3, padding=1), *blocks, *ends]


class StyleEncoder(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        trunk = _trunk(architecture)
        self.shared = nn.Sequential(*trunk)
        last = trunk[-2].out_channels
        self.unshared = nn.ModuleList(nn.Linear(last, architecture.style_dim) for _ in range(architecture.domains))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        shared = self.shared(x).flatten(1)
        return _select(torch.stack([branch(shared) for branch in self.unshared], dim=1), y)


class Discriminator(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        trunk = _trunk(architecture)
        self.main = nn.Sequential(*trunk, nn.Conv2d(trunk[-2].out_channels, architecture.domains, 1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return _select(self.main(x).flatten(1), y)


def build(architecture: Architecture) -> dict[str, nn.Module]:
    """Return the four networks, initialised, by their names in the authors' checkpoints."""
    networks = {
        "generator": Generator(architecture),
        "mapping_network": MappingNetwork(architecture),
        "style_encoder": StyleEncoder(architecture),
        "discriminator": Discriminator(architecture),
    }
    for network in networks.values():
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return networks


def ema_copies(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Return copies of the networks that have an EMA."""
    return {name: copy.deepcopy(network) for name, network in networks.items() if name != "discriminator"}
