"""Convolutions that also double or halve an image, in the form that is fastest for their size and device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganzoo.backend import operations
from ganzoo.backend.arrays import constant
from ganzoo.backend.operations import (
    average_pool,
    conv2d,
    conv_transpose2d,
    full_precision,
    linear,
    upsample_nearest,
)

# The matrix (9, 16) that maps a flattened 3x3 kernel to the 4x4 sum of four copies of it, each shifted by 0 or 1 pixel
# along each axis.
_SHIFTS = np.zeros((9, 16), np.float32)
for _row, _column, _down, _right in np.ndindex(3, 3, 2, 2):
    _SHIFTS[_row * 3 + _column, (_row + _down) * 4 + _column + _right] = 1.0
# Where `operations.widens_kernels` is false: from this many channels on, a 3x3 convolution of all pixels is faster than
# a 4x4 convolution with stride 2. The 4x4 convolution needs 16 products per result instead of 36, but Winograd's
# algorithm needs even fewer for the 3x3 one.
_WIDE = 256


def upsampled_conv2d(x: Any, weight: Any) -> Any:
    """Compute conv2d(upsample_nearest(x), weight, padding=1) for weights (K, C, 3, 3), without creating the upsampled
    image if that is faster."""
    if operations.widens_kernels(weight, [2 * side for side in x.shape[2:]]):
        return operations.doubling_conv2d(x, weight)
    if min(weight.shape[:2]) >= _WIDE or not operations.available():
        return conv2d(upsample_nearest(x), weight, padding=1)
    return operations.upsampling_conv2d(x, _widened(weight, _SHIFTS[:, ::-1]))


def pooled_conv2d(x: Any, weight: Any, fused: bool = False) -> Any:
    """Compute average_pool(conv2d(x, weight, padding=1)) for weights (K, C, 3, 3), as a single convolution if that is
    faster, or if `fused` is true."""
    if operations.widens_kernels(weight, x.shape[2:]):
        return operations.halving_conv2d(x, weight)
    if not fused and (min(weight.shape[:2]) >= _WIDE or not operations.available()):
        return average_pool(conv2d(x, weight, padding=1))
    return conv2d(x, _widened(weight, _SHIFTS / 4), stride=2, padding=1)


def pooled_conv_transpose2d(x: Any, weight: Any) -> Any:
    """Compute the transpose of `pooled_conv2d` for weights (C, K, 3, 3). This is a single transposed convolution with
    stride 2, whose 4x4 kernel is the average of four copies of the weights, shifted by 0 or 1 pixel along each axis."""
    if operations.widens_kernels(weight, [2 * side for side in x.shape[2:]]):
        return operations.halving_conv_transpose2d(x, weight)
    return conv_transpose2d(x, _widened(weight, _SHIFTS / 4), stride=2, padding=1)


def _widened(weight: Any, shifts: np.ndarray) -> Any:
    """Return the sum (A, B, 4, 4) of four copies of a kernel (A, B, 3, 3), each shifted by 0 or 1 pixel along each
    axis. `shifts` (9, 16) is the matrix of this map."""
    a, b, _, _ = weight.shape
    with full_precision():
        return linear(weight.reshape((a * b, 9)), constant(shifts.T)).reshape((a, b, 4, 4))
