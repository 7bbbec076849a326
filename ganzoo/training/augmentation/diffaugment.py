"""DiffAugment: random colour, translation and cutout for every image.

Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020, arXiv:2006.10738, section 4.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.backend.arrays import constant, spatial_mean
from ganzoo.backend.pixels import IS_ALPHA

MAX_SHIFT = 1 / 8  # of the side
CUTOUT = 1 / 2  # of the side
EPS = 1e-6  # added to the mean of alpha, in [0, 2], which is 0 for an image that is entirely transparent


def draw(rng: np.random.Generator, count: int, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Draw the parameters of `count` images of `shape` (C, H, W), each array (count, ...).

    `brightness` is in [-0.5, 0.5], `saturation` in [0, 2], `contrast` in [0.5, 1.5]; `shift` and `cutout` are a number
    of pixels down and right, and the first row and column of the square that is cut out.
    """
    sides = np.array(shape[1:])
    shift = (sides * MAX_SHIFT + 0.5).astype(int)
    hole = _hole(shape)
    return {
        "brightness": rng.uniform(-0.5, 0.5, count),
        "saturation": rng.uniform(0, 2, count),
        "contrast": rng.uniform(0.5, 1.5, count),
        "shift": rng.integers(-shift, shift, (count, 2), endpoint=True),
        # The centre of the square is anywhere in the image, so a part of it may be outside.
        "cutout": rng.integers(0, sides, (count, 2)) - hole // 2,
    }


def _hole(shape: tuple[int, ...]) -> np.ndarray:
    return (np.array(shape[-2:]) * CUTOUT + 0.5).astype(int)


def apply(images: Any, parameters: Mapping[str, np.ndarray]) -> Any:
    """Return the augmented images (N, C, H, W). Pixels that are shifted in or cut out are 0, a medium grey; in RGBA
    images they are transparent."""
    mask = jittor().array(_mask(parameters["cutout"], tuple(images.shape))).stop_grad()
    translate = _translation()(parameters["shift"])
    if images.shape[1] == 4:
        return translate(_premultiplied_colour(images + 1, parameters)) * mask - 1
    return translate(_colour(images, parameters)) * mask


def _strengths(parameters: Mapping[str, np.ndarray]) -> Iterator[Any]:
    for name in ("brightness", "saturation", "contrast"):
        yield jittor().array(parameters[name].astype(np.float32).reshape(-1, 1, 1, 1)).stop_grad()


def _premultiplied_colour(images: Any, parameters: Mapping[str, np.ndarray]) -> Any:
    """Map the colours of RGBA images (N, 4, H, W) in [0, 2], premultiplied, as `_colour` maps straight colours.

    For contrast, the mean of an image is weighted by alpha. If straight colours in [-1, 1] are mapped by c -> M c + t,
    premultiplied ones in [0, 2] are mapped by c -> M c + u a, with u = (t + 1 - M 1) / 2.
    """
    brightness, saturation, contrast = _strengths(parameters)
    select_alpha, select_colours = constant(IS_ALPHA), constant(1 - IS_ALPHA)
    alpha = (images * select_alpha).sum([1], keepdims=True)
    grey = (images * select_colours).sum([1], keepdims=True) / 3
    mean = 2 * spatial_mean(grey) / (spatial_mean(alpha) + EPS) + brightness  # plus 1, of the bright image
    shift = (contrast * brightness + (1 - contrast) * mean) / 2
    colours = contrast * (grey + saturation * (images - grey)) + shift * alpha
    return colours * select_colours + images * select_alpha


def _colour(images: Any, parameters: Mapping[str, np.ndarray]) -> Any:
    brightness, saturation, contrast = _strengths(parameters)
    bright = images + brightness
    # Saturation leaves a grey image unchanged.
    grey = bright if images.shape[1] == 1 else bright.mean([1], keepdims=True)
    saturated = bright if images.shape[1] == 1 else grey + saturation * (bright - grey)
    mean = spatial_mean(grey)
    return mean + contrast * (saturated - mean)


def _mask(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array (N, 1, H, W) that is 0 in the square of each image, and 1 elsewhere."""
    inside = []
    for axis, (side, hole) in enumerate(zip(shape[2:], _hole(shape))):
        distance = np.arange(side) - corners[:, axis, None]
        inside.append((distance >= 0) & (distance < hole))
    return 1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).astype(np.float32)


@functools.cache
def _translation() -> Any:
    jt: Any = jittor()

    class Translation(jt.Function):  # type: ignore[misc]
        # A jt.Function, because the gradient of a translation is one too, while Jittor's own would add pixels one by
        # one.
        def __init__(self, shift: np.ndarray) -> None:
            super().__init__()
            self.shift = shift

        def execute(self, images: Any) -> Any:
            shift = jt.array(np.ascontiguousarray(self.shift, np.int32))
            places = ["i0", "i1", "i2-@e0(i0,0)", "i3-@e0(i0,1)"]
            return images.reindex(list(images.shape), places, extras=[shift], overflow_value=0)

        def grad(self, gradient: Any) -> Any:
            return Translation(-self.shift)(gradient)

    return Translation
