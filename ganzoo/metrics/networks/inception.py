"""Inception-v3, in the two variants used for published FIDs.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, arXiv:1512.00567. Both weight files use
torchvision's names.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ganzoo.backend import operations
from ganzoo.metrics.networks import Convolution, WeightArrays, constant_var, fold_batch_norm, jt, max_pool


def _conv(
    weights: WeightArrays,
    name: str,
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    padded: bool = True,
) -> Convolution:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    weight, bias = fold_batch_norm(weights, f"{name}.conv", f"{name}.bn", (outputs, inputs, height, width))
    return Convolution(weight, bias, stride=stride, padding=(height // 2, width // 2) if padded else (0, 0))


class _Mixed(jt.nn.Module):  # type: ignore[misc]
    """Parallel branches whose outputs are concatenated. A branch is built from chains of convolutions; each step of a
    chain is a tuple (name, outputs, kernel, stride, padded) as for `_conv`."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int) -> None:
        super().__init__()
        self._weights, self._prefix = weights, name
        self.inputs = inputs

    def conv(self, name: str, *rest: Any) -> Convolution:
        return _conv(self._weights, f"{self._prefix}.{name}", *rest)

    def chain(self, *steps: tuple[Any, ...]) -> Any:
        """Return a sequence of convolutions for the input of the block."""
        inputs, convolutions = self.inputs, []
        for name, outputs, *rest in steps:
            convolutions.append(self.conv(name, inputs, outputs, *rest))
            inputs = outputs
        return jt.nn.Sequential(*convolutions)

    def release_weights(self) -> None:
        """Release the weight file once all arrays have been read, so that it doesn't stay in memory."""
        del self._weights


class _MixedA(_Mixed):
    """The block at 35 px (figure 5)."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int, pool: Any, pooled_outputs: int) -> None:
        super().__init__(weights, name, inputs)
        self.pool = pool
        self.branch1x1 = self.chain(("branch1x1", 64))
        self.branch5x5 = self.chain(("branch5x5_1", 48), ("branch5x5_2", 64, 5))
        self.branch3x3dbl = self.chain(("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
        self.branch_pool = self.chain(("branch_pool", pooled_outputs))
        self.release_weights()

    def execute(self, x: Any) -> Any:
        return jt.concat(
            [self.branch1x1(x), self.branch5x5(x), self.branch3x3dbl(x), self.branch_pool(self.pool(x))], 1
        )


class _MixedB(_Mixed):
    """The block from 35 to 17 px (figure 10)."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int) -> None:
        super().__init__(weights, name, inputs)
        self.branch3x3 = self.chain(("branch3x3", 384, 3, 2, False))
        self.branch3x3dbl = self.chain(
            ("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2, False)
        )
        self.release_weights()

    def execute(self, x: Any) -> Any:
        return jt.concat([self.branch3x3(x), self.branch3x3dbl(x), max_pool(x, 3, 2)], 1)


class _MixedC(_Mixed):
    """The block at 17 px (figure 6), with kernels of length 7."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int, pool: Any, width: int) -> None:
        super().__init__(weights, name, inputs)
        self.pool = pool
        self.branch1x1 = self.chain(("branch1x1", 192))
        self.branch7x7 = self.chain(
            ("branch7x7_1", width), ("branch7x7_2", width, (1, 7)), ("branch7x7_3", 192, (7, 1))
        )
        self.branch7x7dbl = self.chain(
            ("branch7x7dbl_1", width),
            ("branch7x7dbl_2", width, (7, 1)),
            ("branch7x7dbl_3", width, (1, 7)),
            ("branch7x7dbl_4", width, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        )
        self.branch_pool = self.chain(("branch_pool", 192))
        self.release_weights()

    def execute(self, x: Any) -> Any:
        return jt.concat(
            [self.branch1x1(x), self.branch7x7(x), self.branch7x7dbl(x), self.branch_pool(self.pool(x))], 1
        )


class _MixedD(_Mixed):
    """The block from 17 to 8 px."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int) -> None:
        super().__init__(weights, name, inputs)
        self.branch3x3 = self.chain(("branch3x3_1", 192), ("branch3x3_2", 320, 3, 2, False))
        self.branch7x7x3 = self.chain(
            ("branch7x7x3_1", 192),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, 3, 2, False),
        )
        self.release_weights()

    def execute(self, x: Any) -> Any:
        return jt.concat([self.branch3x3(x), self.branch7x7x3(x), max_pool(x, 3, 2)], 1)


class _MixedE(_Mixed):
    """The block at 8 px (figure 7). Two branches end in parallel 1x3 and 3x1 convolutions."""

    def __init__(self, weights: WeightArrays, name: str, inputs: int, pool: Any) -> None:
        super().__init__(weights, name, inputs)
        self.pool = pool
        self.branch1x1 = self.chain(("branch1x1", 320))
        self.branch3x3 = self.chain(("branch3x3_1", 384))
        self.branch3x3_row = self.conv("branch3x3_2a", 384, 384, (1, 3))
        self.branch3x3_column = self.conv("branch3x3_2b", 384, 384, (3, 1))
        self.branch3x3dbl = self.chain(("branch3x3dbl_1", 448), ("branch3x3dbl_2", 384, 3))
        self.branch3x3dbl_row = self.conv("branch3x3dbl_3a", 384, 384, (1, 3))
        self.branch3x3dbl_column = self.conv("branch3x3dbl_3b", 384, 384, (3, 1))
        self.branch_pool = self.chain(("branch_pool", 192))
        self.release_weights()

    def execute(self, x: Any) -> Any:
        three, double = self.branch3x3(x), self.branch3x3dbl(x)
        paths = [self.branch1x1(x), self.branch3x3_row(three), self.branch3x3_column(three)]
        paths += [self.branch3x3dbl_row(double), self.branch3x3dbl_column(double), self.branch_pool(self.pool(x))]
        return jt.concat(paths, 1)


def _average_pool_with_padding(x: Any) -> Any:
    """Average 3x3 pixels, counting the padding zeros (count_include_pad)."""
    return operations.symmetric_filter(x, 1 / 9, 1 / 9, 1 / 9)


def _average_pool_without_padding(x: Any) -> Any:
    """Average 3x3 pixels, counting only those inside the image."""
    counts = [np.full(side, 3.0) for side in x.shape[2:]]
    for count in counts:
        count[0] -= 1
        count[-1] -= 1
    factors = 9 / np.outer(*counts)
    return _average_pool_with_padding(x) * constant_var(factors[None, None])


def _max_pool_3x3(x: Any) -> Any:
    return max_pool(x, 3, 1, padding=1)


class _Inception(jt.nn.Module):  # type: ignore[misc]
    """Maps images (N, 3, 299, 299) in [0, 255] to features (N, 2048), the means of the last feature maps."""

    side = 299
    width = 2048
    resample = ""
    average_pool: Any
    last_pool: Any

    def __init__(self, weights: WeightArrays) -> None:
        super().__init__()
        self.conv1 = _conv(weights, "Conv2d_1a_3x3", 3, 32, 3, 2, False)
        self.conv2 = _conv(weights, "Conv2d_2a_3x3", 32, 32, 3, 1, False)
        self.conv3 = _conv(weights, "Conv2d_2b_3x3", 32, 64, 3)
        self.conv4 = _conv(weights, "Conv2d_3b_1x1", 64, 80)
        self.conv5 = _conv(weights, "Conv2d_4a_3x3", 80, 192, 3, 1, False)
        pool, last_pool = type(self).average_pool, type(self).last_pool
        self.mixed = jt.nn.Sequential(
            _MixedA(weights, "Mixed_5b", 192, pool, 32),
            _MixedA(weights, "Mixed_5c", 256, pool, 64),
            _MixedA(weights, "Mixed_5d", 288, pool, 64),
            _MixedB(weights, "Mixed_6a", 288),
            *(_MixedC(weights, f"Mixed_6{letter}", 768, pool, w) for letter, w in zip("bcde", (128, 160, 160, 192))),
            _MixedD(weights, "Mixed_7a", 768),
            _MixedE(weights, "Mixed_7b", 1280, pool),
            _MixedE(weights, "Mixed_7c", 2048, last_pool),
        )

    @abstractmethod
    def normalised(self, images: Any) -> Any:
        """Return the images, scaled from [0, 255] to the input range of the variant."""

    def execute(self, images: Any) -> Any:
        x = self.conv3(self.conv2(self.conv1(self.normalised(images))))
        x = self.conv5(self.conv4(max_pool(x, 3, 2)))
        return self.mixed(max_pool(x, 3, 2)).mean([2, 3])


class InceptionFID(_Inception):
    """TensorFlow's network, used for published FIDs, as ported by pytorch-fid. Average pooling ignores the padding, and
    the last block uses max pooling in place of average pooling."""

    average_pool = staticmethod(_average_pool_without_padding)
    last_pool = staticmethod(_max_pool_3x3)

    def normalised(self, images: Any) -> Any:
        return images / 127.5 - 1.0


class InceptionTorchvision(_Inception):
    """torchvision's network. StarGAN v2 feeds it images with the usual ImageNet normalisation, without the rescaling of
    torchvision's module (`transform_input`)."""

    resample = "bilinear"
    average_pool = staticmethod(_average_pool_with_padding)
    last_pool = staticmethod(_average_pool_with_padding)

    def __init__(self, weights: WeightArrays) -> None:
        super().__init__(weights)
        self.mean = constant_var(np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.std = constant_var(np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))

    def normalised(self, images: Any) -> Any:
        return (images / 255.0 - self.mean) / self.std
