"""Layers that several models share, where Jittor's own are inexact or slow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ganzoo import distributed
from ganzoo.backend import jittor, operations
from ganzoo.backend.operations import conv2d as conv2d
from ganzoo.backend.operations import conv_transpose2d as conv_transpose2d
from ganzoo.backend.operations import leaky_relu as leaky_relu
from ganzoo.backend.operations import linear as linear
from ganzoo.backend.operations import symmetric_filter as symmetric_filter
from ganzoo.backend.operations import upsample_nearest as upsample_nearest
from ganzoo.distributed import collectives
from ganzoo.errors import ShapeError

jt: Any = jittor()

# A 3x3 kernel, padded with zeros and summed over its four shifts by one pixel, as a matrix from 9 to 16 numbers.
_SHIFTS = np.zeros((9, 16), np.float32)
for _row, _column, _down, _right in np.ndindex(3, 3, 2, 2):
    _SHIFTS[_row * 3 + _column, (_row + _down) * 4 + _column + _right] = 1.0
# Channels from which a 3x3 convolution of all pixels is faster than a 4x4 one of every other, with its 16 products for
# each result and not 36: Winograd's algorithm needs fewer still.
_WIDE = 256
CONSTANTS = 128  # small arrays that are kept


class Conv(jt.nn.Conv):  # type: ignore[misc]
    """jt.nn.Conv, computed by `conv2d`: faster, and sure to be found."""

    def execute(self, x: Any) -> Any:
        y = conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return _offset(y, self.bias)


class ConvTranspose(jt.nn.ConvTranspose):  # type: ignore[misc]
    """jt.nn.ConvTranspose, computed by `conv_transpose2d`. As Jittor has it in groups, dilated, or where a stride or
    padding differs between the axes."""

    def execute(self, x: Any) -> Any:
        pairs = (self.stride, self.padding, self.output_padding)
        if self.groups > 1 or self.dilation != (1, 1) or any(down != right for down, right in pairs):
            return super().execute(x)
        stride, padding, beyond = (pair[0] for pair in pairs)
        return _offset(conv_transpose2d(x, self.weight, stride, padding, beyond), self.bias)


class UpsampledConv(Conv):
    """A 3x3 convolution of an image that is doubled by `upsample_nearest` before."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def execute(self, x: Any) -> Any:
        return _offset(upsampled_conv2d(x, self.weight), self.bias)


class Linear(jt.nn.Linear):  # type: ignore[misc]
    """jt.nn.Linear, computed by `linear`."""

    def execute(self, x: Any) -> Any:
        y = linear(x, self.weight)
        return y if self.bias is None else y + self.bias


class LeakyReLU(jt.nn.Module):  # type: ignore[misc]
    """jt.nn.LeakyReLU, computed by `leaky_relu`."""

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def execute(self, x: Any) -> Any:
        return leaky_relu(x, self.slope)


def _offset(x: Any, bias: Any) -> Any:
    return x if bias is None else x + bias.reshape((1, -1, 1, 1))


class BatchNorm(jt.nn.Module):  # type: ignore[misc]
    """Batch normalisation of (N, C) or (N, C, H, W) over all axes but C (Ioffe & Szegedy 2015).

    The variance is computed in two passes: Jittor's own takes E[x^2] - E[x]^2, which cancels in float32. The running
    variance is the unbiased one, as in PyTorch; `momentum` is the weight of the newest batch. Where several processes
    share a batch, mean and variance are those of all of it.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum, self.is_train = eps, momentum, True
        self.weight = jt.ones(channels)
        self.bias = jt.zeros(channels)
        self.running_mean = jt.zeros(channels).stop_grad()
        self.running_var = jt.ones(channels).stop_grad()

    def execute(self, x: Any) -> Any:
        channels = self.weight.shape[0]
        if 0 in x.shape or tuple(x.shape[1:2]) != (channels,):
            raise ShapeError(f"a batch norm takes (N, {channels}, ...), and was given {tuple(x.shape)}.")
        shape = [1, channels] + [1] * (x.ndim - 2)
        if self.is_train:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            mean = collectives.batch_mean(x.mean(axes, keepdims=True))
            centred = x - mean
            variance = collectives.batch_mean(centred.sqr().mean(axes, keepdims=True))
            self._remember(mean, variance, distributed.num_replicas() * x.numel() // x.shape[1])
        else:
            centred = x - self.running_mean.reshape(shape)
            variance = self.running_var.reshape(shape)
        scale = self.weight.reshape(shape) / jt.sqrt(variance + self.eps)
        return centred * scale + self.bias.reshape(shape)

    def _remember(self, mean: Any, variance: Any, count: int) -> None:
        unbiased = variance.reshape(-1) * (count / max(count - 1, 1))
        for running, new in ((self.running_mean, mean.reshape(-1)), (self.running_var, unbiased)):
            running.update(running + self.momentum * (new.detach() - running))


class Dropout(jt.nn.Module):  # type: ignore[misc]
    """jt.nn.Dropout, with numbers that don't depend on how many processes share a batch: each number of (N, ...) is 0
    with probability `p`, and the others grow by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.is_train = p, True

    def execute(self, x: Any) -> Any:
        if not self.is_train or self.p == 0:
            return x
        n, *rest = x.shape
        kept = (distributed.shard(lambda images: jt.random((images, *rest)), n) > self.p).int()
        return x * kept / (1.0 - self.p)


class Tanh(jt.nn.Module):  # type: ignore[misc]
    """jt.nn.Tanh, computed by `tanh`."""

    def execute(self, x: Any) -> Any:
        return tanh(x)


def tanh(x: Any) -> Any:
    """jt.tanh, whose own gradient is NaN from 45 on, where it divides infinity by infinity: a generator that makes an
    image very black or white would be lost. Beyond 20 the true gradient is less than float32 can tell from 0. For x up
    to 1e30; NaN stays NaN, which `clamp` alone would hide."""
    return jt.tanh(x.clamp(-20.0, 20.0)) + 2e-38 * x


def average_pool(x: Any) -> Any:
    """The mean of each 2x2 pixels of (N, C, H, W)."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ShapeError(f"pooling takes images of even sides, and was given {tuple(x.shape)}.")
    return operations.average_pool(x)


def upsampled_conv2d(x: Any, weight: Any) -> Any:
    """conv2d(upsample_nearest(x), weight, padding=1) for weights (K, C, 3, 3), without the larger image where that is
    less work."""
    if min(weight.shape[:2]) >= _WIDE or not operations.available():
        return conv2d(upsample_nearest(x), weight, padding=1)
    return operations.doubled(x, widened(weight, _SHIFTS[:, ::-1]))


def pooled_conv2d(x: Any, weight: Any) -> Any:
    """average_pool(conv2d(x, weight, padding=1)) for weights (K, C, 3, 3), at once where that is less work."""
    if min(weight.shape[:2]) >= _WIDE or not operations.available():
        return average_pool(conv2d(x, weight, padding=1))
    return conv2d(x, widened(weight, _SHIFTS / 4), stride=2, padding=1)


def widened(weight: Any, shifts: np.ndarray = _SHIFTS) -> Any:
    """A kernel (A, B, 3, 3) as the sum of its four shifts by a pixel, (A, B, 4, 4)."""
    a, b, _, _ = weight.shape
    return linear(weight.reshape((a * b, 9)), constant(shifts.T)).reshape((a, b, 4, 4))


def pixel_mean(x: Any) -> Any:
    """The mean of each feature map of (N, C, H, W), as (N, C, 1, 1).

    Row by row, because Jittor adds one number after the other: over a whole map of 512 px float32 would keep but four
    digits. On a GPU by a matrix product, because there the threads of Jittor's sums wait for one another.
    """
    if not operations.on_gpu():
        return x.mean([3], keepdims=True).mean([2], keepdims=True)
    n, c, h, w = x.shape
    with operations.full_precision():
        shares = constant(np.full((1, h * w), 1 / (h * w), np.float32))
        return linear(x.reshape((n * c, h * w)), shares).reshape((n, c, 1, 1))


def standardise(x: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    """Instance normalisation (Ulyanov et al. 2016) without its product: each feature map of (N, C, H, W) less its mean,
    and its standard deviation, sqrt(variance + eps), as (N, C, 1, 1)."""
    centred = x - pixel_mean(x)
    return centred, jt.sqrt(pixel_mean(centred.sqr()) + eps)


def pick(values: Any, labels: np.ndarray) -> Any:
    """Of values (N, K, ...) the one of each row's label in 0...K-1, (N, ...)."""
    count, kinds = values.shape[:2]
    chosen = np.zeros((count, kinds) + (1,) * (values.ndim - 2), np.float32)
    chosen[np.arange(count), labels] = 1.0
    return (values * constant(chosen)).sum([1])


def constant(values: np.ndarray) -> Any:
    """A Var of numbers that nothing changes, float32, made once for all who ask for the same: each array that is made
    has to be sent to the GPU. The last CONSTANTS are kept."""
    values = np.ascontiguousarray(values, np.float32)
    return _constant(values.shape, values.tobytes())


@functools.lru_cache(maxsize=CONSTANTS)
def _constant(shape: tuple[int, ...], content: bytes) -> Any:
    return jt.array(np.frombuffer(content, np.float32).reshape(shape)).stop_grad()
