"""Bytes to pixels: decoding, grey / RGB / RGBA, and fitting an image to a size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ganzoo.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def is_image(name: str) -> bool:
    """Whether a file name looks like an image; hidden files and the resource forks of macOS do not."""
    parts = name.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and name.lower().endswith(EXTENSIONS)


def decode(data: bytes, name: str) -> Image.Image:
    """An image from the bytes of its file, fully read. DataError names the file if it is damaged."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # Pillow raises a dozen kinds, SyntaxError and struct.error among them
        raise DataError(f"{name}: not a readable image ({error or type(error).__name__}).") from error
    return image


def channels_of(image: Image.Image) -> int:
    """1 for a grey image, 3 for any other."""
    return 1 if image.mode in GREY_MODES else 3


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """Pixels as uint8 (H, W, channels). Transparency is laid over white; 16-bit grey is scaled to 8 bits."""
    if image.mode.startswith("I"):
        wide = np.asarray(image, dtype=np.float64)
        scale = 255 / 65535 if wide.max(initial=0) > 255 else 1
        image = Image.fromarray(np.clip(wide * scale, 0, 255).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def fit(array: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Scale the shorter side to `size` (Lanczos), crop the centre, and turn grey to RGB or back if need be.

    uint8 (H, W, C) to uint8 (size, size, channels).
    """
    height, width, present = array.shape
    if (height, width, present) == (size, size, channels):
        return array
    image = Image.fromarray(array[:, :, 0] if present == 1 else array)
    if present != channels:
        image = image.convert("L" if channels == 1 else "RGB")
    if min(height, width) != size:
        scale = size / min(height, width)
        resized = (max(size, round(width * scale)), max(size, round(height * scale)))
        image = image.resize(resized, Image.Resampling.LANCZOS)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels[:, :, None] if channels == 1 else pixels
