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

# The matrix (9, 16) that maps a flattened 3x3 kernel to the 4x4 sum of its four copies, each shifted by 0 or 1 pixel
# along each axis.
_SHIFTS = np.zeros((9, 16), np.float32)
for _row, _column, _down, _right in np.ndindex(3, 3, 2, 2):
    _SHIFTS[_row * 3 + _column, (_row + _down) * 4 + _column + _right] = 1.0
# Number of channels from which a 3x3 convolution of all pixels is faster than a 4x4 one of stride 2. The latter takes
# 16 products per result instead of 36, but Winograd's algorithm for the 3x3 one needs fewer still.
_WIDE = 256
CONSTANTS = 128  # size of the cache of `constant`


class Conv(jt.nn.Conv):  # type: ignore[misc]
    """jt.nn.Conv, computed by `conv2d`. On the CPU this is faster, and does not rely on Jittor recognising the
    convolution."""

    def execute(self, x: Any) -> Any:
        y = conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return _offset(y, self.bias)


class ConvTranspose(jt.nn.ConvTranspose):  # type: ignore[misc]
    """jt.nn.ConvTranspose, computed by `conv_transpose2d`. Falls back to Jittor's own for groups, dilation, or a stride
    or padding that differs between the axes."""

    def execute(self, x: Any) -> Any:
        pairs = (self.stride, self.padding, self.output_padding)
        if self.groups > 1 or self.dilation != (1, 1) or any(down != right for down, right in pairs):
            return super().execute(x)
        stride, padding, beyond = (pair[0] for pair in pairs)
        return _offset(conv_transpose2d(x, self.weight, stride, padding, beyond), self.bias)


class UpsampledConv(Conv):
    """`upsample_nearest`, which doubles the image, followed by a 3x3 convolution."""

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

    The variance is computed in two passes, because Jittor's own formula, E[x^2] - E[x]^2, loses its digits to
    cancellation in float32. The running variance is unbiased, as in PyTorch; `momentum` is the weight of the newest
    batch. If several ranks share a batch, mean and variance are those of the whole batch.
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
    """jt.nn.Dropout, with random numbers that don't depend on how many ranks share a batch: each element of (N, ...) is
    set to 0 with probability `p`, and the others are scaled by 1 / (1 - p)."""

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
    """jt.tanh with a finite gradient for |x| up to 1e30. Jittor's own is NaN from |x| = 45 on, where it divides
    infinity by infinity, so a generator that makes an image very black or white could not recover. Beyond |x| = 20 the
    true gradient is negligible in float32. NaN stays NaN, which `clamp` alone would hide."""
    return jt.tanh(x.clamp(-20.0, 20.0)) + 2e-38 * x


def average_pool(x: Any) -> Any:
    """Return the mean of each 2x2 block of pixels of (N, C, H, W). ShapeError if a side is odd."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ShapeError(f"pooling takes images of even sides, and was given {tuple(x.shape)}.")
    return operations.average_pool(x)


def upsampled_conv2d(x: Any, weight: Any) -> Any:
    """Compute conv2d(upsample_nearest(x), weight, padding=1) for weights (K, C, 3, 3), without creating the upsampled
    image if that is faster."""
    if min(weight.shape[:2]) >= _WIDE or not operations.available():
        return conv2d(upsample_nearest(x), weight, padding=1)
    return operations.doubled(x, widened(weight, _SHIFTS[:, ::-1]))


def pooled_conv2d(x: Any, weight: Any) -> Any:
    """Compute average_pool(conv2d(x, weight, padding=1)) for weights (K, C, 3, 3), as a single convolution if that is
    faster."""
    if min(weight.shape[:2]) >= _WIDE or not operations.available():
        return average_pool(conv2d(x, weight, padding=1))
    return conv2d(x, widened(weight, _SHIFTS / 4), stride=2, padding=1)


def widened(weight: Any, shifts: np.ndarray = _SHIFTS) -> Any:
    """Return the sum, (A, B, 4, 4), of the four copies of a kernel (A, B, 3, 3) that `shifts` moves by 0 or 1 pixel
    along each axis."""
    a, b, _, _ = weight.shape
    return linear(weight.reshape((a * b, 9)), constant(shifts.T)).reshape((a, b, 4, 4))


def pixel_mean(x: Any) -> Any:
    """Return the mean of each feature map of (N, C, H, W), as (N, C, 1, 1).

    On the CPU, rows are averaged first: Jittor adds numbers one by one, so over a whole map of 512 px only four digits
    would be right in float32. On a GPU the mean is a matrix product, because the threads of Jittor's sums wait for one
    another.
    """
    if not operations.on_gpu():
        return x.mean([3], keepdims=True).mean([2], keepdims=True)
    n, c, h, w = x.shape
    with operations.full_precision():
        shares = constant(np.full((1, h * w), 1 / (h * w), np.float32))
        return linear(x.reshape((n * c, h * w)), shares).reshape((n, c, 1, 1))


def standardise(x: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    """Instance normalisation (Ulyanov et al. 2016) without the division: return each feature map of (N, C, H, W) minus
    its mean, and its standard deviation, sqrt(variance + eps), as (N, C, 1, 1)."""
    centred = x - pixel_mean(x)
    return centred, jt.sqrt(pixel_mean(centred.sqr()) + eps)


def pick(values: Any, labels: np.ndarray) -> Any:
    """Select, in each row of `values` (N, K, ...), the entry of the row's label in 0...K-1. Returns (N, ...)."""
    count, kinds = values.shape[:2]
    chosen = np.zeros((count, kinds) + (1,) * (values.ndim - 2), np.float32)
    chosen[np.arange(count), labels] = 1.0
    return (values * constant(chosen)).sum([1])


def constant(values: np.ndarray) -> Any:
    """Return a constant float32 Var. Equal arrays share a Var, because each new one has to be sent to the GPU; the last
    CONSTANTS Vars are cached."""
    values = np.ascontiguousarray(values, np.float32)
    return _constant(values.shape, values.tobytes())


@functools.lru_cache(maxsize=CONSTANTS)
def _constant(shape: tuple[int, ...], content: bytes) -> Any:
    return jt.array(np.frombuffer(content, np.float32).reshape(shape)).stop_grad()
