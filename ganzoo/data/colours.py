"""Colour conversion of images: transparency, 16-bit grey and embedded ICC profiles."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, ImageCms

TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
BIT_DEPTH_OFFSET = 24  # in a PNG
LEVEL_FACTORS = {2: 85, 4: 17}  # factors from 2-bit and 4-bit values to 8-bit values
MAX_PROFILE_BYTES = 4 << 20  # profiles of printers have about 2 MB
NO_CACHE_FLAG = 0x40  # flag of the lcms library that allows threads to share a transform
ROUNDING_TOLERANCE = 2  # of 255; sRGB profiles from different sources differ by rounding


def rescale_transparency(image: Image.Image, data: bytes) -> None:
    """Convert the colour that a PNG declares transparent from the file's bit depth to the pixel values that Pillow
    decodes. Modifies `image.info`."""
    level, depth = image.info.get("transparency"), data[BIT_DEPTH_OFFSET] if len(data) > BIT_DEPTH_OFFSET else 0
    if image.format != "PNG":
        return
    if image.mode == "L" and isinstance(level, int):
        image.info["transparency"] = level * LEVEL_FACTORS.get(depth, 1)
    elif image.mode == "RGB" and isinstance(level, tuple) and depth == 16:
        image.info["transparency"] = tuple(number >> 8 for number in level)


def is_opaque(image: Image.Image) -> bool:
    """Return whether an image has no transparent parts."""
    return image.mode not in TRANSPARENT_MODES and "transparency" not in image.info


def over_white(image: Image.Image) -> Image.Image:
    """Composite the transparent parts of an image, if any, over white."""
    if is_opaque(image):
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), to_rgba(image))


def to_rgba(image: Image.Image) -> Image.Image:
    """Convert an image to RGBA, with straight alpha."""
    if is_opaque(image):
        return image.convert("RGB").convert("RGBA")
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def grey16_to_grey8(image: Image.Image, wide: bool) -> Image.Image:
    """Convert 16-bit grey to 8-bit grey, with transparent pixels in white. Pillow before 12 opens a 16-bit PNG in the
    32-bit mode "I", which may also hold 8-bit values; `wide` says that the values have 16 bits."""
    scale = 255 / 65535 if wide or image.mode.startswith("I;16") else 1
    numbers = np.asarray(image, dtype=np.float64)
    levels = np.clip(numbers * scale, 0, 255).round().astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[numbers == transparent] = 255
    return Image.fromarray(levels)


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert an image from its embedded ICC profile to sRGB, if the profile is for RGB or CMYK and differs from sRGB.
    A damaged profile is ignored."""
    mode = _profile_mode(image)
    transform = _transform_of(image, mode)
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    return image if converted is None else converted


def is_srgb(image: Image.Image) -> bool:
    """Return whether `to_srgb` would return the image itself."""
    return _transform_of(image, _profile_mode(image)) is None


def _profile_mode(image: Image.Image) -> str:
    """Return the mode in which an image's profile is applied."""
    return "RGBA" if "transparency" in image.info else "RGB" if image.mode == "P" else image.mode


def _transform_of(image: Image.Image, mode: str) -> Any:
    """Return the transform from an image's profile to sRGB; None if the image needs none."""
    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "RGBA", "CMYK", "P") or not isinstance(profile, bytes):
        return None
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    return _transform(profile, mode)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """Return the transform from a profile to sRGB; None if the profile is sRGB or unusable."""
    out = "RGBA" if mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, out, flags=NO_CACHE_FLAG)  # type: ignore[arg-type]
        changed = mode == "CMYK" or _changes(transform, mode)
    except Exception:  # ImageCms.PyCMSError, OSError, or ImportError if Pillow was built without lcms
        return None
    return transform if changed else None


def _changes(transform: Any, mode: str) -> bool:
    """Return whether a transform changes colours by more than ROUNDING_TOLERANCE."""
    levels = range(0, 256, 51)
    cube = Image.fromarray(np.array([list(product(levels, repeat=3))], np.uint8)).convert(mode)
    converted = ImageCms.applyTransform(cube, transform)
    return bool(np.abs(np.asarray(converted, np.int16) - np.asarray(cube, np.int16)).max() > ROUNDING_TOLERANCE)
