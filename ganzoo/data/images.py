"""Bytes to pixels: decoding, grey / RGB / RGBA, and fitting an image to a size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ganzoo.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
GREY_MODES = ("1", "L", "LA", "La", "F")  # and those of 16 and 32 bits, which begin with I
TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
ORIENTATION = 0x0112  # the tag of EXIF by which a camera says how it was held


def is_image(name: str) -> bool:
    """Whether a file name looks like an image; hidden files and the resource forks of macOS do not."""
    return not any(is_hidden(part) for part in name.split("/")) and name.lower().endswith(EXTENSIONS)


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is not meant to be seen."""
    return part.startswith((".", "__MACOSX")) and part != "."


def peek(data: bytes, name: str) -> Image.Image:
    """An image whose header is read but whose pixels are not. DataError names the file if it can't be one."""
    if not data:
        raise DataError(f"{name}: not a readable image (the file is empty).")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: not a readable image (its first bytes are of no format that Pillow knows)."
        ) from error
    except Exception as error:  # Pillow raises a dozen kinds, SyntaxError and struct.error among them
        raise DataError(f"{name}: not a readable image ({error or type(error).__name__}).") from error
    # Pillow only warns of a picture that is up to twice as large, and the threads that load can't catch a warning.
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise DataError(
            f"{name}: not a readable image ({image.width} x {image.height} px is more than the "
            f"{Image.MAX_IMAGE_PIXELS:,} pixels that Pillow takes for safe)."
        )
    return image


def decode(data: bytes, name: str) -> Image.Image:
    """An image from the bytes of its file, fully read and upright; the first of an animation. DataError names the
    file if it is damaged."""
    image = peek(data, name)
    try:
        image.load()
    except Exception as error:
        raise DataError(f"{name}: not a readable image ({error or type(error).__name__}).") from error
    return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its camera was held."""
    try:
        return ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    except Exception:  # damaged EXIF data raise nearly anything, and say nothing about the pixels
        return image


def channels_of(image: Image.Image) -> int:
    """1 for a grey image, 3 for any other."""
    return 1 if image.mode in GREY_MODES or image.mode.startswith("I") else 3


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """Pixels as uint8 (H, W, channels). Transparency is laid over white; 16-bit grey is scaled to 8 bits.

    ValueError if Pillow can't convert the image's colours (LAB, in some releases).
    """
    if image.mode.startswith("I"):
        wide = np.asarray(image, dtype=np.float64)
        # Pillow before 12 opens a 16-bit PNG in the 32-bit mode "I", which can hold 8-bit values as well.
        scale = 255 / 65535 if image.mode.startswith("I;16") or wide.max(initial=0) > 255 else 1
        image = Image.fromarray(np.clip(wide * scale, 0, 255).round().astype(np.uint8))
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def fit(
    array: np.ndarray, size: int, channels: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Crop the centre square, or the part `box` of it (left, top, right, bottom as shares of its side), scale that to
    `size` (Lanczos), and turn grey to RGB or back if need be.

    uint8 (H, W, C) to uint8 (size, size, channels).
    """
    if box is None and array.shape == (size, size, channels):
        return array
    pixels = np.asarray(scaled(to_image(array, channels), size, box))
    return pixels[:, :, None] if channels == 1 else pixels


def to_image(array: np.ndarray, channels: int) -> Image.Image:
    """uint8 (H, W, 1 or 3) as an image of Pillow, turned to grey or RGB if need be."""
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    return image if array.shape[2] == channels else image.convert("L" if channels == 1 else "RGB")


def scaled(image: Image.Image, size: int, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    """The centre square of an image, or a part of that square as in `fit`, `size` px wide (Lanczos)."""
    if box is None and image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    shares = (0.0, 0.0, 1.0, 1.0) if box is None else box
    area = tuple(start + share * side for start, share in zip((left, top, left, top), shares))
    # Only the centre is scaled: the whole of a strip of 1 x 60,000 px would take gigabytes.
    return image.resize((size, size), Image.Resampling.LANCZOS, box=area)  # type: ignore[arg-type]
