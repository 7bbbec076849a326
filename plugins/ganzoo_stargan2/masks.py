"""Masks of a face from its landmarks, to limit the generator's high-pass filtered skip connections to facial parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ganzoo import jt, roll_rows
from ganzoo_stargan2.landmarks import SIDE, resize_bilinear

nn: Any = jt.nn
THRESHOLD = 0.1  # values of a heatmap below this are set to 0
EPS = 1e-6


class FacialPart(NamedTuple):
    """Landmarks that are treated alike. Their heatmaps, of 256 px, are raised to `power` and moved up by `up` px (down
    if negative), wrapping around at the edges. The second mask has only the `inner` parts."""

    landmarks: Sequence[int]
    up: int
    power: int
    inner: bool


# Indices of the 98 landmarks of WFLW (Wu et al. 2018). Landmarks not listed here are not used.
PARTS = (
    FacialPart(range(8, 25), 0, 3, False),  # chin
    FacialPart((*range(34, 46), *range(47, 51)), -7, 2, False),  # eyebrows without their ends
    FacialPart((51, 96, 97), 0, 1, True),  # root of the nose, pupils
    FacialPart(range(52, 55), 4, 1, True),  # bridge of the nose
    FacialPart(range(55, 60), 8, 4, True),  # nostrils
    FacialPart(range(60, 76), -8, 3, True),  # eyes
    FacialPart(range(60, 76), -24, 1, True),  # below the eyes
    FacialPart(range(77, 82), -8, 4, False),  # upper lip, without the corners of the mouth
    FacialPart(range(83, 88), 8, 4, False),  # lower lip
    FacialPart(range(88, 96), -2, 3, False),  # inside of the lips
)
LANDMARKS = np.array([landmark for part in PARTS for landmark in part.landmarks])
# For each heatmap, the coefficients of its first to fourth power: a 1 and three zeros.
POWERS = np.array(
    [[power == part.power for part in PARTS for _ in part.landmarks] for power in range(1, 5)], np.float32
)
# 1x1 convolution kernels that sum heatmaps into parts, and parts into the two masks.
SUMS = np.array([[part is own for own in PARTS for _ in own.landmarks] for part in PARTS], np.float32)[:, :, None, None]
MASKS = np.array([[True] * len(PARTS), [part.inner for part in PARTS]], np.float32)[:, :, None, None]
SHIFTS = np.array([-part.up for part in PARTS])


def masks(network: Any, images: Any) -> tuple[Any, Any]:
    """Return the masks of images (N, 3, H, W) in [-1, 1]: one for the skip at 32 px, one for those at 64 and 128 px.
    They are Vars (N, 1, 256, 256) in [0, 1], without a gradient. `network` is a FAN."""
    return from_heatmaps(network(images))


def from_heatmaps(heatmaps: Any) -> tuple[Any, Any]:
    """Return the same as `masks`, but from heatmaps (N, 98 or more, H, W)."""
    with jt.no_grad():
        maps = _normalise(resize_bilinear(heatmaps[:, jt.array(LANDMARKS)], SIDE, align_corners=True))
        first, second, third, fourth = (jt.array(row.reshape(1, -1, 1, 1)) for row in POWERS)
        raised = maps * (first + maps * (second + maps * (third + maps * fourth)))
        parts = roll_rows(nn.conv2d(raised, jt.array(SUMS)), SHIFTS)
        both = nn.conv2d(parts, jt.array(MASKS))
        both = jt.where(jt.isnan(both), jt.zeros_like(both), both).clamp(0.0, 1.0)
        return both[:, :1], both[:, 1:]


def _normalise(maps: Any) -> Any:
    """Set values below THRESHOLD to 0, then rescale each map to [0, 1]."""
    maps = jt.ternary(maps < THRESHOLD, jt.zeros_like(maps), maps)
    low, high = maps.min([2, 3], keepdims=True), maps.max([2, 3], keepdims=True)
    return (maps - low) / (high - low + EPS)
