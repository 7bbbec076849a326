"""Perceptual distances between images (LPIPS): distances between unit-length features at each position of several
feature maps.

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ganzoo.backend import jittor, operations, run_pending
from ganzoo.metrics.backbones import Weights

MIN_SIDE = 64  # px: smaller images are enlarged, otherwise the last feature maps would be empty
EPS = 1e-10


class Perceptual:
    """Computes perceptual distances between images float32 (N, 1, 3 or 4, H, H) in [-1, 1], NumPy arrays or Vars. RGBA
    images, with premultiplied colours, are drawn over white."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.network = weights.open()

    def distances(self, images: Any, others: Any) -> np.ndarray:
        """Return the distance between each image and the one at the same index in `others`, float32 (N,)."""
        jt = jittor()
        with jt.no_grad():
            pairs = zip(self._unit_maps(images), self._unit_maps(others), self.network.heads)
            found: np.ndarray = sum(_weighted((one - other).sqr(), head) for one, other, head in pairs).numpy()
        run_pending()
        return found

    def pairwise_distance(self, groups: Any) -> np.ndarray:
        """Return the mean distance over all pairs of images in a group, float32 (N,). `groups` holds N groups of K
        images, (K, N, C, H, H).

        The sum of squared differences over all pairs is K times the sum of squared differences from the mean.
        """
        jt = jittor()
        count, size = groups.shape[:2]
        with jt.no_grad():
            images = groups.reshape((count * size, *groups.shape[2:]))
            total: Any = 0.0
            for maps, head in zip(self._unit_maps(images), self.network.heads):
                grouped = maps.reshape((count, size, *maps.shape[1:]))
                squares = (grouped - grouped.mean([0], keepdims=True)).sqr().sum(0)
                total = total + _weighted(squares, head) * (2 / (count - 1))
            mean: np.ndarray = total.numpy()
        run_pending()
        return mean

    def _unit_maps(self, images: Any) -> list[Any]:
        """Return the feature maps of images, normalised to length 1 at each position."""
        from ganzoo.metrics.networks import resize_bilinear

        jt = jittor()
        x = jt.array(images) if isinstance(images, np.ndarray) else images
        run_pending()
        if x.shape[1] == 1:
            x = jt.concat([x, x, x], 1)
        elif x.shape[1] == 4:
            colours, alpha = x[:, :3], x[:, 3:]
            x = jt.minimum(colours, alpha) - alpha + 1  # colours are at most alpha, as in the uint8 image
        multiple = self.network.size_multiple
        side = -(-max(x.shape[2], MIN_SIDE) // multiple) * multiple
        if side != x.shape[2]:
            x = resize_bilinear(x, side)
        with operations.full_precision():
            return [normalise_channels(each) for each in self.network(x)]


def normalise_channels(maps: Any) -> Any:
    """Normalise the features (N, C, H, W) to length 1 at each position."""
    return maps / (jittor().sqrt(maps.sqr().sum([1], keepdims=True)) + EPS)


def _weighted(squares: Any, head: Any) -> Any:
    """Reduce (N, C, H, W) to (N,): sum over channels, weighted by the head if there is one, and average over
    positions."""
    weighted = squares if head is None else squares * head
    return weighted.sum([1]).mean([1, 2])
