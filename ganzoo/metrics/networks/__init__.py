"""Networks that compute the metrics' features, for inference only. This module holds the layers that they share.

Batch normalisation is folded into the preceding convolution, in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.backend import jittor, operations
from ganzoo.checkpoints.unpickling import safe_load
from ganzoo.errors import CheckpointError

jt: Any = jittor()


class WeightArrays:
    """The arrays in a weight file, retrieved one at a time by name. CheckpointError if one is missing or has another
    shape, which means that the file belongs to another network."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = safe_load(path)
        if type(found) is not dict or not all(isinstance(each, np.ndarray) for each in found.values()):
            raise CheckpointError(f"{path}: contains a {type(found).__name__} instead of named weights.")
        self._arrays: dict[str, np.ndarray] = found

    def get(self, name: str, *shape: int) -> np.ndarray:
        """Return the array with this name and shape, as float64."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            what = "is missing" if array is None else f"has shape {array.shape}, expected {shape}"
            raise CheckpointError(f"{self.path}: weights of another network: array {name!r} {what}.")
        return array.astype(np.float64)


def constant_var(array: np.ndarray) -> Any:
    """Return a float32 Var that is never trained."""
    return jt.array(np.ascontiguousarray(array, np.float32)).stop_grad()


class Convolution(jt.nn.Module):  # type: ignore[misc]
    """A convolution with a bias, followed by a ReLU that is clipped at `relu_max` (inf: not clipped; None: no ReLU)."""

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        relu_max: float | None = np.inf,
    ) -> None:
        super().__init__()
        self.weight, self.bias = constant_var(weight), constant_var(bias.reshape(1, -1, 1, 1))
        self.stride, self.padding, self.groups, self.relu_max = stride, padding, groups, relu_max

    def execute(self, x: Any) -> Any:
        y = operations.conv2d(x, self.weight, self.stride, self.padding, 1, self.groups) + self.bias
        if self.relu_max is None:
            return y
        y = jt.maximum(y, 0.0)
        return y if self.relu_max == np.inf else jt.minimum(y, self.relu_max)


def fold_batch_norm(
    weights: WeightArrays, convolution: str, norm: str, shape: tuple[int, int, int, int], eps: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution that has no bias itself, with the batch normalisation after it (using
    running statistics) folded in."""
    scale, offset, mean, variance = (
        weights.get(f"{norm}.{name}", shape[0]) for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + eps)
    weight = weights.get(f"{convolution}.weight", *shape)
    return weight * factor[:, None, None, None], offset - mean * factor


def max_pool(x: Any, kernel: int, stride: int, padding: int = 0, ceil_mode: bool = False) -> Any:
    """Apply max pooling to (N, C, H, W). With `ceil_mode`, the last window may extend beyond the border."""
    n, c, *sides = x.shape
    extra = stride - 1 if ceil_mode else 0
    height, width = ((side + 2 * padding - kernel + extra) // stride + 1 for side in sides)
    windows = x.reindex(
        [n, c, height, width, kernel, kernel],
        ["i0", "i1", f"i2*{stride}+i4-{padding}", f"i3*{stride}+i5-{padding}"],
        overflow_value=-1e30,
    )
    return windows.max([4, 5])


def resize_matrix(before: int, after: int) -> np.ndarray:
    """Return the matrix (after, before) that resizes a row of pixels by bilinear interpolation between pixel centres,
    without antialiasing."""
    positions = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    below = np.minimum(positions.astype(np.int64), max(before - 2, 0))
    fraction = positions - below
    matrix = np.zeros((after, before))
    matrix[np.arange(after), below] = 1 - fraction
    matrix[np.arange(after), np.minimum(below + 1, before - 1)] += fraction
    return matrix


def resize_bilinear(x: Any, side: int) -> Any:
    """Resize square images (N, C, H, H) to `side` px with `resize_matrix`."""
    n, c, height, width = x.shape
    matrix = constant_var(resize_matrix(height, side))
    rows = operations.linear(x.reshape((n * c * height, width)), matrix).reshape((n, c, height, side))
    columns = operations.transpose(rows, (0, 1, 3, 2)).reshape((n * c * side, height))
    return operations.transpose(operations.linear(columns, matrix).reshape((n, c, side, side)), (0, 1, 3, 2))
