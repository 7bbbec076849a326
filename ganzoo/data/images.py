"""Decoding image files to pixels, converting them to grey, RGB or RGBA, and making them square at a size."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ganzoo.data import alpha, headers
from ganzoo.data.colours import grey16_to_grey8, is_opaque, is_srgb, over_white, rescale_transparency, to_srgb
from ganzoo.data.fitting import fit_image
from ganzoo.errors import DataError

if TYPE_CHECKING:
    from ganzoo.data.order import Box
    from ganzoo.interfaces.dataset import Dataset

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
# An allow-list: Pillow reads some forty formats, one of them by running an external program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
STRIP_PIXELS = 1 << 20  # pixels converted at a time, because conversion makes several copies of them
GREY_MODES = ("1", "L", "LA", "La", "F")  # and the 16-bit and 32-bit modes, which begin with I
ORIENTATION = 0x0112  # EXIF tag for how the camera was held


def is_image(name: str) -> bool:
    """Return whether a path has an image's extension and is neither hidden nor a resource fork of macOS."""
    return not any(is_hidden(part) for part in name.split("/")) and name.lower().endswith(EXTENSIONS)


def is_hidden(part: str) -> bool:
    """Return whether a file or folder of this name is hidden."""
    return part.startswith((".", "__MACOSX")) and part != "."


def peek(data: bytes, name: str) -> Image.Image:
    """Open an image and read its header, not its pixels. DataError names the file if it is refused or not an image."""
    if not data:
        raise DataError(f"{name}: not a readable image (the file is empty).")
    if headers.tile_count(data) > headers.MAX_TILES:
        raise DataError(f"{name}: not a readable image (a TIFF of {headers.tile_count(data):,} strips or tiles).")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a readable image ({headers.explain_unidentified(data)}).") from error
    except Exception as error:  # Pillow raises a dozen types, among them SyntaxError and struct.error
        raise DataError(f"{name}: not a readable image ({headers.error_message(error)}).") from error
    if refused := headers.reason_refused(image, data):
        raise DataError(f"{name}: not a readable image ({refused}).")
    return image


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """Return the FORMATS that the installed Pillow supports: AVIF was added in 11.3."""
    Image.init()
    return [each for each in FORMATS if each in Image.OPEN]


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an image file (the first frame of an animation) and rotate it upright. DataError names the file if it is
    refused or damaged."""
    return decode_opened(peek(data, name), data, name)


def decode_opened(image: Image.Image, data: bytes, name: str) -> Image.Image:
    """Decode an image that `peek` has opened, and rotate it upright. DataError names the file if it is damaged."""
    if image.format == "TIFF":
        _silence_libtiff()
    try:
        image.load()
        rescale_transparency(image, data)
    except Exception as error:
        raise DataError(f"{name}: not a readable image ({headers.error_message(error)}).") from error
    return _upright(image)


@lru_cache(maxsize=1)
def _silence_libtiff() -> None:
    """Keep libtiff from writing to the terminal; Pillow raises its errors as exceptions anyway."""
    with suppress(OSError, AttributeError):
        maps = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
        for path in {line.split(maxsplit=5)[-1] for line in maps if "/libtiff" in line}:
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def _upright(image: Image.Image) -> Image.Image:
    """Rotate the image upright, according to its EXIF orientation."""
    try:
        return ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    except Exception:  # damaged EXIF data raise nearly any exception, but the pixels may be intact
        return image


def channels_of(image: Image.Image) -> int:
    """Return 1 for a grey image, 3 for any other."""
    return 1 if image.mode in GREY_MODES or image.mode.startswith("I") else 3


def to_array(image: Image.Image, channels: int, size: int | None = None, fit: str = "crop") -> np.ndarray:
    """Return the pixels as uint8 (H, W, channels), with colours in sRGB, transparent parts over white, and 16-bit grey
    scaled to 8 bits. With 4 channels, keep transparency, as RGBA with straight alpha. With `size`, the image is made
    square by `fit` (see `DataInfo`) and resized to `size` px.

    ValueError if Pillow can't convert the image's colours (LAB, in some releases).
    """
    # No draft mode for JPEGs: it is up to 3 times as fast, but changes the pixels (by 0.7 of 255 on average).
    if size is not None:
        image = fit_image(_converted(image, channels), size, fit)
    array = np.empty((image.height, image.width, channels), np.uint8)
    for top, strip in _strips(image, channels):
        array[top : top + strip.height] = np.asarray(strip).reshape(-1, image.width, channels)
    return array


def _converted(image: Image.Image, channels: int) -> Image.Image:
    """Convert an image as in `to_array`; plain grey stays as it is, since it is quicker to resize, unless it becomes
    RGBA, whose padding is transparent."""
    mode = _mode(channels)
    unchanged = image.mode == mode if channels == 4 else image.mode in (mode, "L") and is_opaque(image)
    if unchanged and is_srgb(image):
        return image
    whole = Image.new(mode, image.size)
    for top, strip in _strips(image, channels):
        whole.paste(strip, (0, top))
    return whole


def _strips(image: Image.Image, channels: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the rows of an image in strips, converted to grey, RGB or RGBA, each with the index of its first row."""
    width, height = image.size
    wide = image.mode == "I" and image.getextrema()[1] > 255  # type: ignore[operator]
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        if channels == 4:
            yield top, alpha.to_rgba(strip, wide)
            continue
        strip = grey16_to_grey8(strip, wide) if strip.mode.startswith("I") else to_srgb(strip)
        yield top, over_white(strip).convert(_mode(channels))


def _mode(channels: int) -> str:
    return {1: "L", 4: "RGBA"}.get(channels, "RGB")


def crop_and_resize(
    array: np.ndarray,
    size: int | None,
    channels: int | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Crop the centre square, or the part `box` of it (left, top, right, bottom as fractions of its side), and resize
    that to `size` px (Lanczos), with premultiplied alpha. With `channels`, convert to grey (1), RGB (3) or RGBA (4)
    first; RGBA is converted to the others over white.

    uint8 (H, W, C) to uint8 (size, size, channels). With `size` None, returns the array itself.
    """
    return fit_array(array, size, channels, box)


def fit_array(
    array: np.ndarray, size: int | None, channels: int | None = None, box: Box | None = None, fit: str = "crop"
) -> np.ndarray:
    """Make an array square and resize it as `crop_and_resize` does, but by `fit` (see `DataInfo`)."""
    channels = channels or array.shape[2]
    if size is None or (box is None and array.shape == (size, size, channels)):
        return array
    pixels = np.asarray(fit_image(to_image(array, channels), size, fit, box))
    return pixels[:, :, None] if channels == 1 else pixels


def load_resized(
    dataset: Dataset, index: int, size: int, channels: int, box: Box | None = None
) -> tuple[np.ndarray, int]:
    """Load an image of a data set, made square as its info says and resized, and its label."""
    unscaled = box is not None or channels < dataset.info.channels  # colours are converted to grey before resizing
    image, label = dataset.load(index, None if unscaled else size)
    return fit_array(image, size, channels, box, dataset.info.fit), label


def to_image(array: np.ndarray, channels: int) -> Image.Image:
    """Convert uint8 (H, W, 1, 3 or 4) to a Pillow image in grey (`channels` is 1), RGB (3) or RGBA (4). RGBA is
    converted to the others over white."""
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    if array.shape[2] == channels:
        return image
    return (image if channels == 4 else over_white(image)).convert(_mode(channels))
