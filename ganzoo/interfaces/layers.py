"""Layers that several models share, where Jittor's own are inexact or slow."""

from __future__ import annotations

from typing import Any

from ganzoo import distributed
from ganzoo.backend import jittor, operations
from ganzoo.backend.arrays import chunk as chunk
from ganzoo.backend.arrays import constant as constant
from ganzoo.backend.arrays import pick as pick
from ganzoo.backend.arrays import roll_rows as roll_rows
from ganzoo.backend.arrays import scalar as scalar
from ganzoo.backend.arrays import spatial_mean as spatial_mean
from ganzoo.backend.operations import average_pool as average_pool
from ganzoo.backend.operations import conv2d as conv2d
from ganzoo.backend.operations import conv_transpose2d as conv_transpose2d
from ganzoo.backend.operations import leaky_relu as leaky_relu
from ganzoo.backend.operations import linear as linear
from ganzoo.backend.operations import symmetric_filter as symmetric_filter
from ganzoo.backend.operations import upsample_nearest as upsample_nearest
from ganzoo.backend.resampling import pooled_conv2d as pooled_conv2d
from ganzoo.backend.resampling import pooled_conv_transpose2d as pooled_conv_transpose2d
from ganzoo.backend.resampling import upsampled_conv2d as upsampled_conv2d
from ganzoo.distributed import collectives
from ganzoo.errors import ShapeError

jt: Any = jittor()


class Conv(jt.nn.Conv):  # type: ignore[misc]
    """jt.nn.Conv, computed by `conv2d`. On the CPU this is faster, and does not rely on Jittor recognising the
    convolution."""

    def execute(self, x: Any) -> Any:
        y = conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return _add_bias(y, self.bias)


class ConvTranspose(jt.nn.ConvTranspose):  # type: ignore[misc]
    """jt.nn.ConvTranspose, computed by `conv_transpose2d`. Falls back to Jittor's own for groups, dilation, or a stride
    or padding that differs between the axes."""

    def execute(self, x: Any) -> Any:
        pairs = (self.stride, self.padding, self.output_padding)
        if self.groups > 1 or self.dilation != (1, 1) or any(vertical != horizontal for vertical, horizontal in pairs):
            return super().execute(x)
        stride, padding, output_padding = (pair[0] for pair in pairs)
        return _add_bias(conv_transpose2d(x, self.weight, stride, padding, output_padding), self.bias)


class UpsampledConv(Conv):
    """`upsample_nearest`, which doubles the image, followed by a 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def execute(self, x: Any) -> Any:
        return _add_bias(upsampled_conv2d(x, self.weight), self.bias)


class Linear(jt.nn.Linear):  # type: ignore[misc]
    """jt.nn.Linear, computed by `linear`."""

    def execute(self, x: Any) -> Any:
        y = linear(x, self.weight)
        return y if self.bias is None else y + self.bias


class ClassProjection(jt.nn.Module):  # type: ignore[misc]
    """The projection of labels onto features (Miyato & Koyama 2018, equation 3), which a class-conditional
    discriminator adds to its scores: the inner product of the features with an embedding of the label.

    `layer(features, labels)` maps features (N, width) and labels (N, classes) to (N, 1).
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = Linear(classes, width, bias=False)

    def execute(self, features: Any, labels: Any) -> Any:
        return (self.embedding(labels) * features).sum([1], keepdims=True)


class LeakyReLU(jt.nn.Module):  # type: ignore[misc]
    """jt.nn.LeakyReLU, computed by `leaky_relu`."""

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def execute(self, x: Any) -> Any:
        return leaky_relu(x, self.slope)


def _add_bias(x: Any, bias: Any) -> Any:
    return x if bias is None else x + bias.reshape((1, -1, 1, 1))


class BatchNorm(jt.nn.Module):  # type: ignore[misc]
    """Batch normalisation of (N, C) or (N, C, H, W) over all axes but C (Ioffe & Szegedy 2015).

    The variance is computed in two passes, because Jittor's own formula, E[x^2] - E[x]^2, loses its digits to
    cancellation in float32. The running variance is unbiased, as in PyTorch; `momentum` is the weight of the newest
    batch. If several ranks share a batch, mean and variance are those of the whole batch. With `affine`, each channel
    has a trainable scale and offset; a conditional batch norm, which computes its own from the class, needs none.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__()
        self.eps, self.momentum, self.is_train = eps, momentum, True
        self.weight = jt.ones(channels) if affine else None
        self.bias = jt.zeros(channels) if affine else None
        self.running_mean = jt.zeros(channels).stop_grad()
        self.running_var = jt.ones(channels).stop_grad()

    def execute(self, x: Any) -> Any:
        channels = self.running_mean.shape[0]
        if 0 in x.shape or tuple(x.shape[1:2]) != (channels,):
            raise ShapeError(f"a batch norm expects shape (N, {channels}, ...), got {tuple(x.shape)}.")
        shape = [1, channels] + [1] * (x.ndim - 2)
        if self.is_train:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            mean = collectives.batch_mean(x.mean(axes, keepdims=True))
            centred = x - mean
            variance = collectives.batch_mean(centred.sqr().mean(axes, keepdims=True))
            self._update_running(mean, variance, distributed.data_parallel_size() * x.numel() // x.shape[1])
        else:
            centred = x - self.running_mean.reshape(shape)
            variance = self.running_var.reshape(shape)
        deviation = jt.sqrt(variance + self.eps)
        if self.weight is None or self.bias is None:
            return centred / deviation
        return centred * (self.weight.reshape(shape) / deviation) + self.bias.reshape(shape)

    def _update_running(self, mean: Any, variance: Any, count: int) -> None:
        unbiased = variance.reshape(-1) * (count / max(count - 1, 1))
        for running, new in ((self.running_mean, mean.reshape(-1)), (self.running_var, unbiased)):
            running.update(running + self.momentum * (new.detach() - running))


class InstanceNorm(jt.nn.Module):  # type: ignore[misc]
    """Instance normalisation of (N, C, H, W) over H and W (Ulyanov et al. 2016, arXiv:1607.08022), in training and in
    inference alike. With `affine`, each channel has a trainable scale and offset.

    The variance is computed in two passes, as in `BatchNorm`.
    """

    def __init__(self, channels: int, affine: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.weight = jt.ones(channels) if affine else None
        self.bias = jt.zeros(channels) if affine else None

    def execute(self, x: Any) -> Any:
        shape = tuple(x.shape)
        if 0 in shape or len(shape) != 4 or shape[1] != self.channels:
            raise ShapeError(f"an instance norm expects shape (N, {self.channels}, H, W), got {shape}.")
        if shape[2:] == (1, 1):
            raise ShapeError(f"an instance norm of single pixels is always 0; it was given shape {shape}.")
        centred, deviation = centre_and_deviation(x, self.eps)
        return _affine(centred / deviation, self.weight, self.bias)


class GroupNorm(jt.nn.Module):  # type: ignore[misc]
    """Group normalisation of (N, C, ...) (Wu & He 2018, arXiv:1803.08494): mean and variance are those of each image
    and each of `groups` groups of neighbouring channels. Each channel has a trainable scale and offset.

    The variance is computed in two passes, as in `BatchNorm`. ShapeError if the channels can't be split evenly.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ShapeError(f"a group norm can't split {channels} channels into {groups} equal groups.")
        self.groups, self.eps = groups, eps
        self.weight = jt.ones(channels)
        self.bias = jt.zeros(channels)

    def execute(self, x: Any) -> Any:
        shape, channels = tuple(x.shape), self.weight.shape[0]
        if 0 in shape or shape[1:2] != (channels,):
            raise ShapeError(f"a group norm expects shape (N, {channels}, ...), got {shape}.")
        if x.numel() == shape[0] * self.groups:
            raise ShapeError(f"a group norm over single numbers is always 0; it was given shape {shape}.")
        width = shape[-1] if len(shape) > 2 else 1
        centred, deviation = centre_and_deviation(x.reshape((shape[0], self.groups, -1, width)), self.eps)
        return _affine((centred / deviation).reshape(shape), self.weight, self.bias)


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    """Scale and shift each channel of (N, C, ...); None: return `x`."""
    if weight is None:
        return x
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return x * weight.reshape(shape) + bias.reshape(shape)


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
        return x * distributed.shard(lambda images: operations.dropout_mask((images, *rest), self.p), n)


class Tanh(jt.nn.Module):  # type: ignore[misc]
    """jt.nn.Tanh, computed by `tanh`."""

    def execute(self, x: Any) -> Any:
        return tanh(x)


def tanh(x: Any) -> Any:
    """jt.tanh with a finite gradient for |x| up to 1e30. Jittor's own is NaN from |x| = 45 on, where it divides
    infinity by infinity, so a generator that makes an image very black or white could not recover. Beyond |x| = 20 the
    true gradient is negligible in float32. NaN stays NaN."""
    # The second term keeps NaN, which `clamp` replaces.
    return jt.tanh(x.clamp(-20.0, 20.0)) + 2e-38 * x


def centre_and_deviation(x: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    """Instance normalisation (Ulyanov et al. 2016) without the division: return each feature map of (N, C, H, W) minus
    its mean, and its standard deviation, sqrt(variance + eps), as (N, C, 1, 1)."""
    centred = x - spatial_mean(x)
    return centred, jt.sqrt(spatial_mean(centred.sqr()) + eps)
