"""Transparency of images: keeping it, and drawing it over white."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ganzoo.data import colours


def to_rgba(image: Image.Image, wide: bool) -> Image.Image:
    """Convert an image to RGBA, with straight alpha and colours in sRGB. For `wide` see `colours.grey16_to_grey8`."""
    if not image.mode.startswith("I"):
        return colours.to_rgba(colours.to_srgb(image))
    converted = colours.grey16_to_grey8(image, wide).convert("RGBA")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        converted.putalpha(Image.fromarray(np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8)))
    return converted


def over_white(images: np.ndarray) -> np.ndarray:
    """Draw RGBA images uint8 (..., H, W, 4) over white: uint8 (..., H, W, 3). Others are returned as they are."""
    if images.shape[-1] != 4:
        return images
    flat = Image.fromarray(np.ascontiguousarray(images).reshape(-1, *images.shape[-2:]))
    return np.asarray(colours.over_white(flat).convert("RGB")).reshape(*images.shape[:-1], 3)
