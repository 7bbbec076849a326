"""Making an image square: cropping, padding or stretching it, and resizing it in the same step."""

from __future__ import annotations

import math

from PIL import Image

from ganzoo.data.order import Box

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LANCZOS = Image.Resampling.LANCZOS


def fit_image(image: Image.Image, size: int, fit: str = "crop", box: Box | None = None) -> Image.Image:
    """Make an image square by `fit` (crop, pad or stretch; see `DataInfo`), and scale the square, or the part `box` of
    it, to `size` px (Lanczos)."""
    if box is None and image.size == (size, size):
        return image
    box = WHOLE if box is None else box
    if fit == "stretch":
        return _stretch(image, size, box)
    if fit == "pad" and image.width != image.height:
        return _pad(image, size, box)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    area = tuple(start + fraction * side for start, fraction in zip((left, top, left, top), box))
    # Resize only the crop: resizing all of an image of 1 x 60,000 px would take gigabytes. Pillow premultiplies RGBA.
    return image.resize((size, size), LANCZOS, box=area)  # type: ignore[arg-type]


def _stretch(image: Image.Image, size: int, box: Box) -> Image.Image:
    left, top, right, bottom = (fraction * side for fraction, side in zip(box, 2 * image.size))
    if image.width < size < image.height:
        # Pillow changes the width first: all rows of an image of 1 x 60,000 px, widened, could take gigabytes.
        image = image.resize((image.width, size), LANCZOS, box=(0, top, image.width, bottom))
        top, bottom = 0, size
    return image.resize((size, size), LANCZOS, box=(left, top, right, bottom))


def _pad(image: Image.Image, size: int, box: Box) -> Image.Image:
    square = Image.new(image.mode, (size, size), (0, 0, 0, 0) if image.mode == "RGBA" else "white")
    left, top, right, bottom = padded_area(*image.size, size)
    x, x_end, x_shown, x_shown_end = _visible(left, right, size, box[0], box[2])
    y, y_end, y_shown, y_shown_end = _visible(top, bottom, size, box[1], box[3])
    if x < x_end and y < y_end:
        fractions = (x_shown, y_shown, x_shown_end, y_shown_end)
        area = tuple(fraction * side for fraction, side in zip(fractions, 2 * image.size))
        square.paste(image.resize((x_end - x, y_end - y), LANCZOS, box=area), (x, y))  # type: ignore[arg-type]
    return square


def padded_area(width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """Return where padding puts an image of this width and height in a square: left, top, right and bottom in px."""
    across, down = (max(1, round(side * size / max(width, height))) for side in (width, height))
    left, top = (size - across) // 2, (size - down) // 2
    return left, top, left + across, top + down


def _visible(start: int, end: int, size: int, low: float, high: float) -> tuple[int, int, float, float]:
    """Return where the part of an image from `start` to `end` px appears when the part from `low` to `high` of the
    image (fractions) is scaled to all of its `size` px: its first px, the px after its last one, and which fractions of
    the part are between them."""
    first, last = ((edge - low * size) / (high - low) for edge in (start, end))
    seen = [min(max(edge, 0.0), float(size)) for edge in (first, last)]
    # Not `round`, which can round two numbers that differ by 1 to the same even one.
    pixels = [math.floor(edge + 0.5) for edge in seen]
    fractions = [(edge - first) / (last - first) for edge in seen]
    return pixels[0], pixels[1], fractions[0], fractions[1]
