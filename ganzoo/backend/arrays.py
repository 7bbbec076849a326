"""Arrays and selections whose values are not part of the kernels, so that Jittor compiles each kernel only once.

Jittor compiles Python numbers, the bounds of slices and some one-element arrays into its kernels, so each new value
costs a compilation. Here they are passed as data instead.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ganzoo.backend import operations
from ganzoo.backend.handle import device, jittor
from ganzoo.backend.pixels import IS_ALPHA, to_floats
from ganzoo.errors import ShapeError

CACHED_CONSTANTS = 128  # size of the cache of `constant`


def constant(values: np.ndarray) -> Any:
    """Return a constant float32 Var. Equal arrays share a Var, because each new one has to be sent to the GPU; the last
    CACHED_CONSTANTS Vars are cached."""
    values = np.ascontiguousarray(values, np.float32)
    return _constant(values.shape, values.tobytes())


@functools.lru_cache(maxsize=CACHED_CONSTANTS)
def _constant(shape: tuple[int, ...], content: bytes) -> Any:
    return jittor().array(np.frombuffer(content, np.float32).reshape(shape)).stop_grad()


def scalar(value: float, ndim: int = 4) -> Any:
    """Return a constant float32 Var (1, ..., 1) that holds `value`. Use it for numbers that differ from step to step.
    `ndim` is the number of axes of the arrays that the Var multiplies. The Var has at least two axes, because Jittor
    compiles an array (1,) into the kernel if its value is 0 or 1."""
    return constant(np.full((1,) * max(ndim, 2), value))


def pick(values: Any, labels: np.ndarray) -> Any:
    """Return values[n, labels[n]] for each n, as (N, ...), from `values` (N, K, ...) and `labels` (N,) in 0...K-1."""
    count, kinds = values.shape[:2]
    one_hot = np.zeros((count, kinds) + (1,) * (values.ndim - 2), np.float32)
    one_hot[np.arange(count), labels] = 1.0
    return (values * constant(one_hot)).sum([1])


def chunk(x: Any, chunks: int, ndim: int = 0) -> list[Any]:
    """Split (N, C, ...) into `chunks` equal parts along axis 1, like torch.chunk(x, chunks, dim=1), and append axes of
    length 1 up to `ndim`. Parts are selected by `pick` and not sliced, because the gradient of every slice would need a
    kernel of its own."""
    n, c, *rest = x.shape
    if c % chunks:
        raise ShapeError(f"{c} channels can't be split into {chunks} equal parts.")
    parts = x.reshape((n, chunks, c // chunks, *rest, *(1,) * (ndim - x.ndim)))
    return [pick(parts, np.full(n, index)) for index in range(chunks)]


def roll_rows(x: Any, shifts: np.ndarray) -> Any:
    """Roll each channel of (N, C, H, W) down by its own number of rows, as np.roll does; `shifts` are C integers in
    -H...H."""
    height = x.shape[2]
    source = f"(i2+@e0(i1)+{height})%{height}"
    upwards = jittor().array(-np.asarray(shifts, np.int32))
    return x.reindex(list(x.shape), ["i0", "i1", source, "i3"], extras=[upwards])


def differentiable(x: Any) -> Any:
    """Return `x`, detached from its graph, as a Var for which gradients can be computed, like torch's
    x.detach().requires_grad_(). Without this, real images have no gradients."""
    leaf = x.detach()
    leaf.start_grad()
    return leaf


def from_images(images: np.ndarray) -> Any:
    """Return uint8 images (N, H, W, C) as a float32 Var (N, C, H, W) in [-1, 1], RGBA with premultiplied colours (see
    `pixels`)."""
    jt = jittor()
    if device() == "cuda":  # transfer uint8, a quarter of the bytes, and convert in one kernel
        planes = operations.transpose(jt.array(images), (0, 3, 1, 2)).float32()
        return ((_premultiplied(planes) if images.shape[3] == 4 else planes) / 127.5 - 1.0).stop_grad()
    return jt.array(to_floats(images)).stop_grad()


def _premultiplied(planes: Any) -> Any:
    """Multiply the colours of RGBA images (N, 4, H, W) in [0, 255] by alpha / 255."""
    alpha = (planes * constant(IS_ALPHA)).sum([1], keepdims=True)
    return planes * (alpha / 255 * constant(1 - IS_ALPHA) + constant(IS_ALPHA))


def spatial_mean(x: Any) -> Any:
    """Return the mean of each feature map of (N, C, H, W), as (N, C, 1, 1).

    On the CPU, rows are averaged first: Jittor adds float32 numbers one by one, so only four digits of the sum over a
    whole map of 512 px would be right. On a GPU the mean is a matrix product, because in Jittor's sums threads wait for
    one another.
    """
    if not operations.on_gpu():
        return x.mean([3], keepdims=True).mean([2], keepdims=True)
    n, c, h, w = x.shape
    with operations.full_precision():
        shares = constant(np.full((1, h * w), 1 / (h * w), np.float32))
        return operations.linear(x.reshape((n * c, h * w)), shares).reshape((n, c, 1, 1))
