"""The networks of LPIPS: torchvision's AlexNet, VGG-16 and SqueezeNet 1.1 up to their last feature maps, with the
linear heads of the package lpips, which have one weight for each channel of five or seven feature maps.

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, arXiv:1801.03924.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ganzoo.metrics.networks import Convolution, WeightArrays, constant_var, jt, max_pool

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # per colour channel, as in lpips


class _LpipsBackbone(jt.nn.Module):  # type: ignore[misc]
    """Maps images (N, 3, H, W) in [-1, 1] to feature maps. `heads` holds a weight (1, C, 1, 1) for each map."""

    size_multiple = 1  # px; the side of the images must be a multiple of this
    channels: tuple[int, ...]

    def __init__(self, heads: WeightArrays) -> None:
        super().__init__()
        self.shift, self.scale = (constant_var(np.array(each).reshape(1, 3, 1, 1)) for each in (SHIFT, SCALE))
        self.heads = [
            constant_var(heads.get(f"lin{index}.model.1.weight", 1, count, 1, 1))
            for index, count in enumerate(self.channels)
        ]

    def execute(self, images: Any) -> list[Any]:
        return self.maps((images - self.shift) / self.scale)

    @abstractmethod
    def maps(self, x: Any) -> list[Any]:
        """Return the feature maps of normalised images, one for each of `channels`."""


def _conv(  # with the ReLU that follows each convolution of these networks
    weights: WeightArrays, name: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1
) -> Convolution:
    weight = weights.get(f"{name}.weight", outputs, inputs, kernel, kernel)
    return Convolution(weight, weights.get(f"{name}.bias", outputs), stride=stride, padding=(padding, padding))


class AlexNet(_LpipsBackbone):
    """Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014."""

    channels = (64, 192, 384, 256, 256)

    def __init__(self, weights: WeightArrays, heads: WeightArrays) -> None:
        super().__init__(heads)
        self.convs = jt.nn.ModuleList(
            [
                _conv(weights, "features.0", 3, 64, 11, 4, 2),
                _conv(weights, "features.3", 64, 192, 5, 1, 2),
                _conv(weights, "features.6", 192, 384),
                _conv(weights, "features.8", 384, 256),
                _conv(weights, "features.10", 256, 256),
            ]
        )

    def maps(self, x: Any) -> list[Any]:
        found = []
        for index, conv in enumerate(self.convs):
            x = conv(max_pool(x, 3, 2) if index in (1, 2) else x)
            found.append(x)
        return found


class VGG16(_LpipsBackbone):
    """Simonyan & Zisserman, Very Deep Convolutional Networks, 2015, configuration D."""

    channels = (64, 128, 256, 512, 512)
    depths = (2, 2, 3, 3, 3)

    def __init__(self, weights: WeightArrays, heads: WeightArrays) -> None:
        super().__init__(heads)
        inputs, index, stages = 3, 0, []
        for outputs, depth in zip(self.channels, self.depths):
            convs = []
            for _ in range(depth):
                convs.append(_conv(weights, f"features.{index}", inputs, outputs))
                inputs, index = outputs, index + 2  # skip the ReLU
            stages.append(jt.nn.Sequential(*convs))
            index += 1  # skip the pooling
        self.stages = jt.nn.ModuleList(stages)

    def maps(self, x: Any) -> list[Any]:
        found: list[Any] = []
        for stage in self.stages:
            x = stage(max_pool(x, 2, 2) if found else x)
            found.append(x)
        return found


class _Fire(jt.nn.Module):  # type: ignore[misc]
    def __init__(self, weights: WeightArrays, name: str, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = _conv(weights, f"{name}.squeeze", inputs, squeezed, 1, padding=0)
        self.expand1x1 = _conv(weights, f"{name}.expand1x1", squeezed, expanded, 1, padding=0)
        self.expand3x3 = _conv(weights, f"{name}.expand3x3", squeezed, expanded)

    def execute(self, x: Any) -> Any:
        x = self.squeeze(x)
        return jt.concat([self.expand1x1(x), self.expand3x3(x)], 1)


class SqueezeNet(_LpipsBackbone):
    """Iandola et al., SqueezeNet, 2016, version 1.1."""

    channels = (64, 128, 256, 384, 384, 512, 512)
    # For each fire module: index in torchvision's `features`, and input, squeezed and expanded channels.
    fires = (
        (3, 64, 16, 64),
        (4, 128, 16, 64),
        (6, 128, 32, 128),
        (7, 256, 32, 128),
        (9, 256, 48, 192),
        (10, 384, 48, 192),
        (11, 384, 64, 256),
        (12, 512, 64, 256),
    )
    pools, maps_after = (3, 6, 9), (4, 7, 9, 10, 11, 12)  # indices of modules: pool before, output maps after

    def __init__(self, weights: WeightArrays, heads: WeightArrays) -> None:
        super().__init__(heads)
        self.first = _conv(weights, "features.0", 3, 64, 3, 2, 0)
        self.blocks = jt.nn.ModuleList([_Fire(weights, f"features.{index}", *rest) for index, *rest in self.fires])

    def maps(self, x: Any) -> list[Any]:
        x = self.first(x)
        found = [x]
        for (index, *_), fire in zip(self.fires, self.blocks):
            x = fire(max_pool(x, 3, 2, ceil_mode=True) if index in self.pools else x)
            if index in self.maps_after:
                found.append(x)
        return found
