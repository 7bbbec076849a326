"""Bytes to pixels: decoding, grey / RGB / RGBA, and fitting an image to a size."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ganzoo.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
)  # of the forty that Pillow reads, one with the help of a program
STRIP = 1 << 20  # pixels that are converted at once, as that takes several copies
GREY_MODES = ("1", "L", "LA", "La", "F")  # and those of 16 and 32 bits, which begin with I
TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
ORIENTATION = 0x0112  # the tag of EXIF by which a camera says how it was held
# Tags of TIFF: where its strips or tiles lie, and the sides of a tile.
STRIPS, TILES, TILE_WIDTH, TILE_LENGTH = 0x0111, 0x0144, 0x0142, 0x0143
MOST_PARTS = 1 << 19  # strips or tiles; of 16 x 16 px, more than Pillow's largest picture has


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
    if _parts(data) > MOST_PARTS:
        raise DataError(f"{name}: not a readable image (a TIFF in {_parts(data):,} parts).")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: not a readable image (its first bytes are of no format that is read: PNG, JPEG, WebP, BMP, GIF "
            "and TIFF)."
        ) from error
    except Exception as error:  # Pillow raises a dozen kinds, SyntaxError and struct.error among them
        raise DataError(f"{name}: not a readable image ({error or type(error).__name__}).") from error
    # Pillow only warns of a picture that is up to twice as large, and the threads that load can't catch a warning.
    for width, height in (image.size, _tile(image)):
        if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
            raise DataError(
                f"{name}: not a readable image ({width} x {height} px is more than the "
                f"{Image.MAX_IMAGE_PIXELS:,} pixels that Pillow takes for safe)."
            )
    return image


def _tile(image: Image.Image) -> tuple[int, int]:
    """The sides of the tiles of a TIFF, each of which is unpacked as a whole, however small the picture; or zeros."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(TILE_WIDTH), tags.get(TILE_LENGTH)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _parts(data: bytes) -> int:
    """How many strips or tiles a TIFF says that it has, for each of which Pillow makes objects; 0 for other files."""
    if data[:2] not in (b"II", b"MM"):
        return 0
    kinds = (False, True) if 43 in data[2:4] else (False,)  # Pillow's releases differ in what they take for a BigTIFF
    return max(_parts_of("<" if data[:2] == b"II" else ">", big, data) for big in kinds)


def _parts_of(order: str, big: bool, data: bytes) -> int:
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
        start += 8 if big else 2
        if count > 1 << 16:  # more than there are tags
            return int(count)
        found = (entry.unpack_from(data, start + index * entry.size) for index in range(count))
        return max((number for tag, _, number, _ in found if tag in (STRIPS, TILES)), default=0)
    except (struct.error, OverflowError):  # it is cut short, as Pillow will say
        return 0


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
    width, height = image.size
    array = np.empty((height, width, channels), np.uint8)
    wide = image.mode == "I" and image.getextrema()[1] > 255  # type: ignore[operator]
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        array[top : top + rows] = _pixels(strip, channels, wide).reshape(-1, width, channels)
    return array


def _pixels(image: Image.Image, channels: int, wide: bool) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3). Pillow before 12 opens a 16-bit PNG in the 32-bit mode "I", which can hold 8-bit
    values as well; `wide` says that it does not."""
    if image.mode.startswith("I"):
        scale = 255 / 65535 if wide or image.mode.startswith("I;16") else 1
        numbers = np.asarray(image, dtype=np.float64) * scale
        image = Image.fromarray(np.clip(numbers, 0, 255).round().astype(np.uint8))
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("L" if channels == 1 else "RGB"))


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
