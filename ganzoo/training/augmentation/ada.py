"""The augmentations of ADA: pixel blitting, geometry and colour, each applied to an image with probability p.

Karras et al., Training Generative Adversarial Networks with Limited Data, 2020, arXiv:2006.06676, appendix B. This is
their pipeline "bgc". All transformations of an image are combined to one matrix for its pixels and one for its
colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.backend.arrays import constant
from ganzoo.backend.operations import full_precision, linear, transpose
from ganzoo.backend.warping import warp
from ganzoo.training.augmentation import wavelet

TRANSLATION = 1 / 8  # of the side: maximum of the integer translation, standard deviation of the fractional one
SCALE = 0.2  # standard deviation of log2 of the scale factors
CONTRAST, SATURATION = 0.5, 1.0  # likewise, of the factors of contrast and saturation
BRIGHTNESS = 0.2  # standard deviation, for pixels in [-1, 1]
_GREY = np.ones(3) / np.sqrt(3)  # the direction of grey in RGB


def draw(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int], p: float, mirror: bool
) -> dict[str, np.ndarray]:
    """Draw the parameters of `count` images of `shape` (C, H, W), each array (count, ...).

    `lookup` (2, 3) maps each sample of the transformed image to its source (see `_lookup`). `mix` (C, C) and `offset`
    (C, 1, 1) are the linear map and the shift of its colours. Without `mirror` the images are neither mirrored nor
    rotated.
    """
    channels, height, width = shape
    geometry = draw_geometry(rng, count, (height, width), p, mirror)
    colour = draw_colour(rng, count, p)
    if channels == 1:  # a grey image is RGB with three equal channels, of which the mean remains
        colour = colour.mean(1, keepdims=True)
        colour = np.stack([colour[:, :, :3].sum(2), colour[:, :, 3]], 2)
    if channels == 4:
        colour = premultiplied(colour)
    return {
        "lookup": _lookup(geometry, (height, width)),
        "mix": colour[:, :, :-1],
        "offset": colour[:, :, -1, None, None],
    }


def draw_geometry(rng: np.random.Generator, count: int, size: tuple[int, int], p: float, mirror: bool) -> np.ndarray:
    """Draw matrices (count, 3, 3) that move points (x, y, 1), in pixels from the centre of an image of `size`
    (H, W)."""
    height, width = size
    sides = np.array([width, height])

    def some(probability: float, values: np.ndarray, neutral: float = 0.0) -> np.ndarray:
        chosen = rng.random(count) < probability
        return np.where(chosen[:, None] if values.ndim > 1 else chosen, values, neutral)

    flip = some(p, rng.integers(0, 2, count))
    quarters = some(p, rng.integers(0, 4, count))
    whole = np.rint(some(p, rng.uniform(-TRANSLATION, TRANSLATION, (count, 2))) * sides)
    zoom = some(p, np.exp2(SCALE * rng.standard_normal(count)), 1.0)
    # Two rotations, so that stretching may have any direction. With this probability of each, at least one has p.
    rotation = 1 - np.sqrt(1 - p)
    before = some(rotation, rng.uniform(-np.pi, np.pi, count))
    stretch = some(p, np.exp2(SCALE * rng.standard_normal(count)), 1.0)
    after = some(rotation, rng.uniform(-np.pi, np.pi, count))
    fraction = some(p, TRANSLATION * rng.standard_normal((count, 2))) * sides
    if not mirror:
        flip, quarters, before, after = (np.zeros(count) for _ in range(4))
    steps = [
        _scaling(1 - 2 * flip, np.ones(count)),
        _rotation(-np.pi / 2 * quarters),
        _translation(whole),
        _scaling(zoom, zoom),
        _rotation(-before),
        _scaling(stretch, 1 / stretch),
        _rotation(-after),
        _translation(fraction),
    ]
    return _compose(steps)


def draw_colour(rng: np.random.Generator, count: int, p: float) -> np.ndarray:
    """Draw matrices (count, 3, 4) that map colours (R, G, B, 1)."""

    def some(values: np.ndarray, neutral: float = 0.0) -> np.ndarray:
        return np.where(rng.random(count) < p, values, neutral)

    brightness = some(BRIGHTNESS * rng.standard_normal(count))
    contrast = some(np.exp2(CONTRAST * rng.standard_normal(count)), 1.0)
    flip = some(rng.integers(0, 2, count))
    hue = some(rng.uniform(-np.pi, np.pi, count))
    saturation = some(np.exp2(SATURATION * rng.standard_normal(count)), 1.0)
    grey, unit = np.outer(_GREY, _GREY), np.eye(3)
    # Rodrigues' formula; the cross product with the grey direction is a constant matrix.
    cross = np.cross(unit, _GREY)
    sine, cosine = (function(hue)[:, None, None] for function in (np.sin, np.cos))
    linear_steps = [
        contrast[:, None, None] * unit,
        unit - 2 * flip[:, None, None] * grey,
        cosine * unit + (1 - cosine) * grey - sine * cross,
        grey + saturation[:, None, None] * (unit - grey),
    ]
    steps = [_affine(step) for step in linear_steps]
    translation = np.tile(np.eye(4), (count, 1, 1))
    translation[:, :3, 3] = brightness[:, None]
    return _compose([translation, *steps])[:, :3]


def premultiplied(colour: np.ndarray) -> np.ndarray:
    """Convert matrices (N, 3, 4) for straight colours (R, G, B, 1) to matrices (N, 4, 5) for premultiplied colours and
    alpha (R, G, B, A, 1), all in [-1, 1].

    On a scale from 0 to 1, c -> M c + t becomes c a -> M (c a) + t a.
    """
    linear_part, offset = colour[:, :, :3], colour[:, :, 3]
    row_sums = linear_part.sum(2)
    shift = (offset + 1 - row_sums) / 2
    result = np.zeros((len(colour), 4, 5))
    result[:, :3, :3], result[:, :3, 3], result[:, :3, 4] = linear_part, shift, row_sums + shift - 1
    result[:, 3, 3] = 1
    return result


def _compose(steps: list[np.ndarray]) -> np.ndarray:
    """Return the product of the matrices, of which the first is applied first."""
    product = steps[0]
    for step in steps[1:]:
        product = step @ product
    return product


def _affine(matrices: np.ndarray) -> np.ndarray:
    count, side, _ = matrices.shape
    extended = np.tile(np.eye(side + 1), (count, 1, 1))
    extended[:, :side, :side] = matrices
    return extended


def _scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _affine(np.stack([x, y], 1)[:, :, None] * np.eye(2))


def _rotation(angle: np.ndarray) -> np.ndarray:
    sine, cosine = np.sin(angle), np.cos(angle)
    return _affine(np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1))


def _translation(by: np.ndarray) -> np.ndarray:
    matrices = np.tile(np.eye(3), (len(by), 1, 1))
    matrices[:, :2, 2] = by
    return matrices


def _lookup(geometry: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return, for matrices that move points, the matrices (N, 2, 3) that map an output sample to its source sample.

    Samples are the pixels of the image at twice the resolution, with indices (x, y). The first output sample lies FIRST
    samples to the left of the image and above it.
    """
    height, width = size
    sample_of_point = np.array([[2, 0, width - 0.5], [0, 2, height - 0.5], [0, 0, 1]])
    point_of_sample = np.array([[0.5, 0, (0.5 - width) / 2], [0, 0.5, (0.5 - height) / 2], [0, 0, 1]])
    start = np.array([[1, 0, -wavelet.FIRST], [0, 1, -wavelet.FIRST], [0, 0, 1]])
    return (sample_of_point @ _inverse(geometry) @ (point_of_sample @ start))[:, :2]


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Invert affine matrices (N, 3, 3). LAPACK may take milliseconds on a busy machine."""
    (a, b, x), (c, d, y) = matrices[:, :2].transpose(1, 2, 0)
    rows = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    inverse = np.zeros_like(matrices)
    inverse[:, :2] = np.array(rows).transpose(2, 0, 1) / (a * d - b * c)[:, None, None]
    inverse[:, 2, 2] = 1
    return inverse


def apply(images: Any, parameters: Mapping[str, np.ndarray]) -> Any:
    """Return the transformed images (N, C, H, W). Beyond its borders, an image is continued by reflection."""
    height, width = images.shape[2:]
    with full_precision():
        doubled = _along_columns(_along_rows(images, wavelet.doubling(width)), wavelet.doubling(height))
        size = 2 * width + wavelet.MARGIN, 2 * height + wavelet.MARGIN
        warped = warp(doubled, parameters["lookup"], parameters["mix"], size)
        halved = _along_rows(transpose(_along_rows(warped, wavelet.halving(height)), _SWAP), wavelet.halving(width))
    return halved + jittor().array(parameters["offset"].astype(np.float32)).stop_grad()


_SWAP = (0, 1, 3, 2)


def _along_rows(images: Any, matrix: np.ndarray) -> Any:
    """Apply the matrix to each row of pixels."""
    n, c, h, w = images.shape
    return linear(images.reshape((n * c * h, w)), constant(matrix)).reshape((n, c, h, matrix.shape[0]))


def _along_columns(images: Any, matrix: np.ndarray) -> Any:
    """Apply the matrix to each column of pixels, and return the images with rows and columns exchanged."""
    return _along_rows(transpose(images, _SWAP), matrix)
