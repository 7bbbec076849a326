"""Progressive StyleGAN in PyTorch; `names()` returns a network's weights by ganzoo's names.

Modules are named so that `state_dict()` has the keys of the public PyTorch port's files. `paper=True` is the authors'
own design.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

FUSED_FROM = 128


@dataclass(frozen=True)
class Architecture:
    """The design of both networks and their dimensions; `widths` are the feature maps per resolution, from 4 px on."""

    widths: Sequence[int]
    code: int = 512
    depth: int = 8
    colours: int = 3
    paper: bool = False
    from_rgb_activation: bool = True
    affine_norms: bool = False  # as in one of the Jittor ports
    classes: int = 0


class EqualizedParameters(nn.Module):
    """The parameters of a layer with equalised learning rate, in the order in which the port registers them."""

    def __init__(self, shape: Sequence[int], gain: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.weight_orig = nn.Parameter(torch.randn(*shape))
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def weight(self) -> torch.Tensor:
        return self.weight_orig * self.scale


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int, padding: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.conv, self.padding = EqualizedParameters((outputs, inputs, side, side), gain), padding
        self.late_bias = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.conv.weight(), None if self.late_bias else self.conv.bias, padding=self.padding)

    @property
    def bias(self) -> nn.Parameter:
        return self.conv.bias

    @property
    def kernel(self) -> nn.Parameter:
        return self.conv.weight_orig


class Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.linear = EqualizedParameters((outputs, inputs), gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.linear.weight(), self.linear.bias)

    @property
    def bias(self) -> nn.Parameter:
        return self.linear.bias

    @property
    def kernel(self) -> nn.Parameter:
        return self.linear.weight_orig


class Fused(nn.Module):
    """A convolution, transposed for upsampling, else strided. Its 4x4 kernel is the sum of four shifted 3x3 kernels."""

    def __init__(self, inputs: int, outputs: int, up: bool, kernel_scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*((inputs, outputs) if up else (outputs, inputs)), 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.scale, self.late_bias = up, kernel_scale * math.sqrt(2 / (9 * inputs)), False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shifted = [F.pad(self.weight, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1)]
        kernel = torch.stack(shifted).sum(0) * self.scale
        convolve = F.conv_transpose2d if self.up else F.conv2d
        return convolve(x, kernel, None if self.late_bias else self.bias, stride=2, padding=1)

    @property
    def kernel(self) -> nn.Parameter:
        return self.weight


class Blur(nn.Module):
    """A blur with the two buffers of the port's files."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = (torch.outer(line, line) / 16).repeat(channels, 1, 1, 1)
        self.register_buffer("weight", kernel)
        self.register_buffer("weight_flip", kernel.flip([2, 3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Each channel is convolved as a grey image, because depthwise convolutions are slow in float64.
        return F.conv2d(x.flatten(0, 1)[:, None], self.weight[:1], padding=1).reshape(x.shape)


class PixelNorm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Noise(nn.Module):
    def __init__(self, channels: int, paper: bool) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = 1.0 if paper else math.sqrt(2 / channels)

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return x + noise * (self.weight_orig * self.scale)


class AdaIN(nn.Module):
    def __init__(self, channels: int, architecture: Architecture) -> None:
        super().__init__()
        self.style = Linear(architecture.code, 2 * channels, 1.0 if architecture.paper else math.sqrt(2))
        self.style.linear.bias.data[:channels] = 1.0
        self.norm = nn.InstanceNorm2d(channels, 1e-8 if architecture.paper else 1e-5, affine=architecture.affine_norms)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        gamma, beta = self.style(w)[:, :, None, None].chunk(2, 1)
        return gamma * self.norm(x) + beta


class Constant(nn.Module):
    def __init__(self, channels: int, paper: bool) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.ones(1, channels, 4, 4) if paper else torch.randn(1, channels, 4, 4))
        if paper:
            self.bias = nn.Parameter(torch.zeros(channels))


class StyledBlock(nn.Module):
    """A constant or an upsampling convolution, noise, leaky ReLU, AdaIN; a convolution, noise, leaky ReLU, AdaIN."""

    def __init__(self, level: int, architecture: Architecture) -> None:
        super().__init__()
        inputs, outputs = architecture.widths[max(level - 1, 0)], architecture.widths[level]
        if level == 0:
            self.conv1: nn.Module = Constant(outputs, architecture.paper)
        elif 4 << level >= FUSED_FROM:
            self.conv1 = nn.Sequential(Fused(inputs, outputs, True, 1.0 if architecture.paper else 0.25), Blur(outputs))
        else:
            self.conv1 = nn.Sequential(nn.Upsample(scale_factor=2), Conv(inputs, outputs, 3, 1), Blur(outputs))
        self.noise1, self.adain1, self.lrelu1 = (
            Noise(outputs, architecture.paper),
            AdaIN(outputs, architecture),
            nn.LeakyReLU(0.2),
        )
        self.conv2 = Conv(outputs, outputs, 3, 1)
        self.noise2, self.adain2, self.lrelu2 = (
            Noise(outputs, architecture.paper),
            AdaIN(outputs, architecture),
            nn.LeakyReLU(0.2),
        )
        self.level, self.paper = level, architecture.paper
        for layer in (self.upsampling(), self.conv2):
            if layer is not None:
                layer.late_bias = architecture.paper

    def upsampling(self) -> Any:
        """Return the convolution that follows the upsampling or is fused with it; None at 4 px."""
        return None if self.level == 0 else self.conv1[0 if 4 << self.level >= FUSED_FROM else 1]

    def forward(self, x: Any, styles: Sequence[torch.Tensor], noises: Sequence[torch.Tensor]) -> torch.Tensor:
        first = self.upsampling()
        x = self.conv1.input.expand(len(styles[0]), -1, -1, -1) if first is None else self.conv1(x)
        x = self.noise1(x, noises[0])
        if self.paper:
            x = x + (self.conv1 if first is None else first).bias[:, None, None]
        x = self.adain1(self.lrelu1(x), styles[0])
        x = self.noise2(self.conv2(x), noises[1])
        if self.paper:
            x = x + self.conv2.bias[:, None, None]
        return self.adain2(self.lrelu2(x), styles[1])


class Synthesis(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        levels = range(len(architecture.widths))
        self.progression = nn.ModuleList(StyledBlock(level, architecture) for level in levels)
        gain = 1.0 if architecture.paper else math.sqrt(2)
        self.to_rgb = nn.ModuleList(
            Conv(architecture.widths[level], architecture.colours, 1, 0, gain) for level in levels
        )


class ConditionalMapping(nn.Module):
    """The mapping network of latents and labels, each normalised."""

    def __init__(self, architecture: Architecture, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.embedding, self.norm = Linear(architecture.classes, architecture.code, 1.0), PixelNorm()
        self.layers = nn.Sequential(Linear(2 * architecture.code, architecture.code), *layers[1:])

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.layers)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([self.norm(z), self.norm(self.embedding(labels))], 1))


class StyledGenerator(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.generator = Synthesis(architecture)
        pairs = [(Linear(architecture.code, architecture.code), nn.LeakyReLU(0.2)) for _ in range(architecture.depth)]
        layers = [module for pair in pairs for module in pair]
        self.style: Any = (
            ConditionalMapping(architecture, layers) if architecture.classes else nn.Sequential(PixelNorm(), *layers)
        )

    def forward(
        self, styles: Sequence[torch.Tensor], noises: Sequence[Sequence[torch.Tensor]], level: int, alpha: float
    ) -> torch.Tensor:
        """Return images. `styles` has a w per layer, `noises` a pair of maps per block."""
        x = previous = None
        for index in range(level + 1):
            previous, x = x, self.generator.progression[index](x, styles[2 * index : 2 * index + 2], noises[index])
        images = self.generator.to_rgb[level](x)
        if level == 0 or alpha >= 1:
            return images
        coarse = F.interpolate(self.generator.to_rgb[level - 1](previous), scale_factor=2)
        return (1 - alpha) * coarse + alpha * images

    def names(self) -> dict[str, nn.Parameter]:
        """Return the parameters by ganzoo's names."""
        found: dict[str, nn.Parameter] = {}
        if isinstance(self.style, ConditionalMapping):
            embedding = self.style.embedding
            found = {"mapping.embedding.weight": embedding.kernel, "mapping.embedding.bias": embedding.bias}
        for index, layer in enumerate(module for module in self.style if isinstance(module, Linear)):
            found.update({f"mapping.layers.{index}.weight": layer.kernel, f"mapping.layers.{index}.bias": layer.bias})
        for index, block in enumerate(self.generator.progression):
            found.update({f"synthesis.blocks.{index}.{name}": value for name, value in _block(block)})
        for index, layer in enumerate(self.generator.to_rgb):
            found.update(
                {f"synthesis.to_rgb.{index}.weight": layer.kernel, f"synthesis.to_rgb.{index}.bias": layer.bias}
            )
        return _complete(self, found)


class Discriminator(nn.Module):
    """The discriminator. Its blocks are ordered from the finest resolution to 4 px."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        levels = range(len(architecture.widths) - 1, -1, -1)
        self.progression = nn.ModuleList(DownBlock(level, architecture) for level in levels)
        convs = [Conv(architecture.colours, architecture.widths[level], 1, 0) for level in levels]
        self.from_rgb = nn.ModuleList(
            nn.Sequential(conv, nn.LeakyReLU(0.2)) if architecture.from_rgb_activation else conv for conv in convs
        )
        self.linear = Linear(architecture.widths[0], 1, 1.0 if architecture.paper else math.sqrt(2))
        classes = architecture.classes
        self.embedding = Linear(classes, architecture.widths[0], math.sqrt(classes)) if classes else None
        self.architecture = architecture

    def forward(
        self, images: torch.Tensor, level: int, alpha: float, batches: int = 1, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return scores. The images can be several batches, one after the other, each with the same labels."""
        last = len(self.progression) - 1
        x = self.from_rgb[last - level](images)
        for index in range(level, -1, -1):
            if index == 0:
                x = torch.cat([_with_stddev(batch, self.architecture.paper) for batch in x.chunk(batches)])
            x = self.progression[last - index](x)
            if index == level and index > 0 and alpha < 1:
                coarse = self.from_rgb[last - index + 1](F.avg_pool2d(images, 2))
                x = (1 - alpha) * coarse + alpha * x
        scores = self.linear(x.flatten(1))
        if self.embedding is None:
            return scores
        embedded = self.embedding(labels).repeat(batches, 1)
        return scores + torch.einsum("nc,nc->n", embedded, x.flatten(1))[:, None] / math.sqrt(embedded.shape[1])

    def names(self) -> dict[str, nn.Parameter]:
        """Return the parameters by ganzoo's names."""
        found = {"linear.weight": self.linear.kernel, "linear.bias": self.linear.bias}
        if self.embedding is not None:
            found.update({"embedding.weight": self.embedding.kernel, "embedding.bias": self.embedding.bias})
        for index, (block, from_rgb) in enumerate(zip(reversed(self.progression), reversed(self.from_rgb))):
            layer = from_rgb[0] if self.architecture.from_rgb_activation else from_rgb
            modules = {f"from_rgb.{index}": layer, f"blocks.{index}.conv1": block.first}
            for path, module in {**modules, f"blocks.{index}.conv2": block.second}.items():
                found.update({f"{path}.weight": module.kernel, f"{path}.bias": module.bias})
        return _complete(self, found)


class DownBlock(nn.Module):
    def __init__(self, level: int, architecture: Architecture) -> None:
        super().__init__()
        inputs, outputs = architecture.widths[level], architecture.widths[max(level - 1, 0)]
        middle = inputs if architecture.paper else outputs
        relu = nn.LeakyReLU(0.2)
        if level == 0:
            self.conv1 = nn.Sequential(Conv(inputs + 1, outputs, 3, 1), relu)
            self.conv2 = nn.Sequential(Conv(outputs, outputs, 4, 0), nn.LeakyReLU(0.2))
        elif 4 << level >= FUSED_FROM:
            self.conv1 = nn.Sequential(Conv(inputs, middle, 3, 1), relu)
            self.conv2 = nn.Sequential(Blur(middle), Fused(middle, outputs, False, 0.25), nn.LeakyReLU(0.2))
        else:
            self.conv1 = nn.Sequential(Conv(inputs, middle, 3, 1), relu)
            halving = (Conv(middle, outputs, 3, 1), nn.AvgPool2d(2))
            self.conv2 = nn.Sequential(Blur(middle), *halving, nn.LeakyReLU(0.2))
        self.level = level

    @property
    def first(self) -> Any:
        return self.conv1[0]

    @property
    def second(self) -> Any:
        return self.conv2[0 if self.level == 0 else 1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.conv1(x))


def _with_stddev(x: torch.Tensor, paper: bool) -> torch.Tensor:
    """Append a feature map with the mean standard deviation in a group of images. In the paper's design, image i is
    grouped with i + N/4, i + N/2 and i + 3N/4; in the port's, the whole batch is one group."""
    count = len(x)
    groups = max(1, count // 4) if paper else 1
    maps = torch.empty(count, 1, *x.shape[2:])
    for group in range(groups):
        members = range(group, count, groups)
        grouped = torch.stack([x[member] for member in members])
        maps[list(members)] = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean()
    return torch.cat([x, maps], 1)


def _block(block: StyledBlock) -> Iterator[tuple[str, nn.Parameter]]:
    first = block.upsampling()
    if first is None:
        yield "const", block.conv1.input
        if block.paper:
            yield "bias", block.conv1.bias
    else:
        yield from (("conv1.weight", first.kernel), ("conv1.bias", first.bias))
    yield from (("conv2.weight", block.conv2.kernel), ("conv2.bias", block.conv2.bias))
    for index, noise, adain in ((1, block.noise1, block.adain1), (2, block.noise2, block.adain2)):
        yield f"layer{index}.noise", noise.weight_orig
        yield f"layer{index}.adain.style.weight", adain.style.kernel
        yield f"layer{index}.adain.style.bias", adain.style.bias


def _complete(network: nn.Module, found: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return `found`, after checking that it has all parameters of the network."""
    assert {id(tensor) for tensor in found.values()} == {id(tensor) for tensor in network.parameters()}
    return found
