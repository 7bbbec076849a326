"""Masks of a face from its landmarks: where the high-pass filtered skip connections of the generator may show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ganzoo import jt
from ganzoo_stargan2.landmarks import SIDE, resized

nn: Any = jt.nn
LEAST = 0.1  # of a heatmap; below is nothing
EPS = 1e-6


class Part(NamedTuple):
    """Landmarks that are treated alike: their heatmaps, raised to `power`, are moved `up` by so many px of 256 (down if
    negative); what leaves at one edge comes in at the other. `inner` parts are in the second mask, too."""

    landmarks: Sequence[int]
    up: int
    power: int
    inner: bool


# Of the 98 landmarks of WFLW (Wu et al. 2018). Those that are missing here are not used.
PARTS = (
    Part(range(8, 25), 0, 3, False),  # chin
    Part((*range(34, 46), *range(47, 51)), -7, 2, False),  # eyebrows without their ends
    Part((51, 96, 97), 0, 1, True),  # root of the nose, pupils
    Part(range(52, 55), 4, 1, True),  # bridge of the nose
    Part(range(55, 60), 8, 4, True),  # nostrils
    Part(range(60, 76), -8, 3, True),  # eyes
    Part(range(60, 76), -24, 1, True),  # and below them
    Part(range(77, 82), -8, 4, False),  # upper lip, without the corners of the mouth
    Part(range(83, 88), 8, 4, False),  # lower lip
    Part(range(88, 96), -2, 3, False),  # inside of the lips
)
LANDMARKS = np.array([landmark for part in PARTS for landmark in part.landmarks])
# For each heatmap, the factors of its first to fourth power: 1 and three zeros.
POWERS = np.array(
    [[power == part.power for part in PARTS for _ in part.landmarks] for power in range(1, 5)], np.float32
)
# Which heatmaps are summed up to a part, and which parts to a mask, as kernels of convolutions.
SUMS = np.array([[part is own for own in PARTS for _ in own.landmarks] for part in PARTS], np.float32)[:, :, None, None]
MASKS = np.array([[True] * len(PARTS), [part.inner for part in PARTS]], np.float32)[:, :, None, None]
SHIFTS = np.array([part.up for part in PARTS], np.int32)


def masks(network: Any, images: Any) -> tuple[Any, Any]:
    """The masks for the skip at 32 px and for those at 64 and 128 px, without a gradient: Vars (N, 1, 256, 256) in
    [0, 1], of images (N, 3, H, W) in [-1, 1]. `network` is a FAN."""
    return from_heatmaps(network(images))


def from_heatmaps(heatmaps: Any) -> tuple[Any, Any]:
    """The same from heatmaps (N, 98 or more, H, W)."""
    with jt.no_grad():
        maps = _normalised(resized(heatmaps[:, jt.array(LANDMARKS)], SIDE, corners=True))
        first, second, third, fourth = (jt.array(row.reshape(1, -1, 1, 1)) for row in POWERS)
        raised = maps * (first + maps * (second + maps * (third + maps * fourth)))
        parts = _moved(nn.conv2d(raised, jt.array(SUMS)))
        both = nn.conv2d(parts, jt.array(MASKS))
        both = jt.where(jt.isnan(both), jt.zeros_like(both), both).clamp(0.0, 1.0)
        return both[:, :1], both[:, 1:]


def _normalised(maps: Any) -> Any:
    """Each map without what is below LEAST, then from 0 to 1."""
    maps = jt.ternary(maps < LEAST, jt.zeros_like(maps), maps)
    least, most = maps.min([2, 3], keepdims=True), maps.max([2, 3], keepdims=True)
    return (maps - least) / (most - least + EPS)


def _moved(parts: Any) -> Any:
    """Each part moved up as SHIFTS says. By an index that is data, or Jittor would compile a kernel for each."""
    shape = list(parts.shape)
    row = f"(i2+@e0(i1)+{shape[2]})%{shape[2]}"
    return parts.reindex(shape, ["i0", "i1", row, "i3"], extras=[jt.array(SHIFTS)])
