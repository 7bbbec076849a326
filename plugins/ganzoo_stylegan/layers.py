"""The layers of StyleGAN: equalised learning rate, blur, resampling convolutions, AdaIN, pixel norm, minibatch stddev.

Equalised learning rate scales the output of a convolution, not its weights. The result is the same, but the factor is
fused into the kernel that adds the bias, and no scaled copy of the weights is written.
"""

from __future__ import annotations

import math
from typing import Any

from ganzoo import (
    batch_mean,
    centre_and_deviation,
    chunk,
    conv2d,
    data_parallel_size,
    jt,
    linear,
    pooled_conv2d,
    pooled_conv_transpose2d,
    symmetric_filter,
    upsampled_conv2d,
)

nn: Any = jt.nn
SQRT2 = math.sqrt(2.0)  # gain of He initialisation


def blur(x: Any) -> Any:
    """Filter (N, C, H, W) with [1, 2, 1] x [1, 2, 1] / 16 and zero padding (Karras et al. 2019, appendix C)."""
    return symmetric_filter(x, centre=1 / 4, side=1 / 8, corner=1 / 16)


def pixel_norm(x: Any) -> Any:
    """Divide (N, C) by the root mean square over C (Karras et al. 2018, section 4.2)."""
    return x / jt.sqrt(x.sqr().mean([1], keepdims=True) + 1e-8)


def minibatch_stddev(x: Any, group: int | None) -> Any:
    """Append a channel to (N, C, H, W): how much the images of a group differ (Karras et al. 2018, section 3).

    Its value is the standard deviation over the group, averaged over features and pixels. A group has `group` images
    (lowered to a divisor of the batch size) or, if None, the whole batch.
    """
    n, c, h, w = x.shape
    global_batch = n * data_parallel_size()
    groups = 1 if group is None else global_batch // math.gcd(global_batch, group)
    mean = batch_mean
    if n % groups:  # the groups can't be shared evenly among ranks: each rank forms its own
        groups, mean = n // math.gcd(n, group or n), _identity
    grouped = x.reshape((n // groups, groups, c, h, w))
    centred = grouped - mean(grouped.mean([0], keepdims=True))
    stddev = jt.sqrt(mean(centred.sqr().mean([0])) + 1e-8).mean([1, 2, 3])
    channel = stddev.reshape((1, groups, 1, 1, 1)).broadcast((n // groups, groups, 1, h, w))
    return jt.concat([x, channel.reshape((n, 1, h, w))], 1)


def _identity(x: Any) -> Any:
    return x


class EqualLinear(nn.Module):  # type: ignore[misc]
    """A linear layer with equalised learning rate: weights from N(0, 1), outputs scaled by gain / sqrt(inputs)
    (Karras et al. 2018, section 4.1)."""

    def __init__(self, inputs: int, outputs: int, gain: float = SQRT2) -> None:
        super().__init__()
        self.weight = jt.randn(outputs, inputs)
        self.bias = jt.zeros(outputs)
        self.scale = gain / math.sqrt(inputs)

    def execute(self, x: Any) -> Any:
        return linear(x, self.weight) * self.scale + self.bias


class EqualConv(nn.Module):  # type: ignore[misc]
    """A size-preserving convolution of stride 1 with equalised learning rate (Karras et al. 2018, section 4.1)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = SQRT2) -> None:
        super().__init__()
        self.weight = jt.randn(outputs, inputs, kernel, kernel)
        self.bias = jt.zeros(outputs)
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def convolve(self, x: Any) -> Any:
        """Return the convolution without the bias."""
        return conv2d(x, self.weight, padding=self.weight.shape[2] // 2) * self.scale

    def add_bias(self, x: Any) -> Any:
        return x + self.bias.reshape((1, -1, 1, 1))

    def execute(self, x: Any) -> Any:
        return self.add_bias(self.convolve(x))


class UpConv(EqualConv):
    """A 3x3 convolution that doubles the size of (N, C, H, W).

    Fused: a single transposed convolution of stride 2, whose 4x4 kernel is the sum (`fused_scale` 1) or the average
    (1/4) of four shifted copies of the 3x3 kernel. Otherwise: nearest-neighbour upsampling, then the convolution.
    """

    def __init__(self, inputs: int, outputs: int, fused: bool, fused_scale: float) -> None:
        super().__init__(inputs, outputs, 3)
        if fused:  # the layout of a transposed convolution
            self.weight = jt.randn(inputs, outputs, 3, 3)
        self.fused, self.fused_scale = fused, fused_scale

    def convolve(self, x: Any) -> Any:
        if not self.fused:
            return upsampled_conv2d(x, self.weight) * self.scale
        return pooled_conv_transpose2d(x, self.weight) * (4 * self.scale * self.fused_scale)


class DownConv(EqualConv):
    """A 3x3 convolution that halves the size of (N, C, H, W).

    Fused: a single convolution of stride 2, whose 4x4 kernel is the average of four shifted copies of the 3x3 kernel.
    Otherwise: the convolution, then 2x2 average pooling.
    """

    def __init__(self, inputs: int, outputs: int, fused: bool) -> None:
        super().__init__(inputs, outputs, 3)
        self.fused = fused

    def convolve(self, x: Any) -> Any:
        return pooled_conv2d(x, self.weight, self.fused) * self.scale


class AdaIN(nn.Module):  # type: ignore[misc]
    """Adaptive instance normalisation (Karras et al. 2019, equation 1): normalises each feature map of (N, C, H, W) to
    mean 0 and variance 1, then applies a scale and an offset computed from w (N, width)."""

    def __init__(self, channels: int, width: int, eps: float, gain: float) -> None:
        super().__init__()
        self.style = EqualLinear(width, 2 * channels, gain)
        self.style.bias = jt.concat([jt.ones(channels), jt.zeros(channels)])
        self.eps = eps

    def execute(self, x: Any, w: Any) -> Any:
        scale, offset = chunk(self.style(w), 2, ndim=4)
        centred, deviation = centre_and_deviation(x, self.eps)
        return centred * (scale / deviation) + offset
