"""The glyphs of the data sets `symbols` and `styles`: selecting, comparing, colouring and drawing them.

All functions depend only on their arguments, so that every process draws a glyph in the same way.
"""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from fontTools.ttLib import TTFont, TTLibError
from PIL import Image, ImageDraw, ImageFont

from ganzoo import DataError

# Four visually distinct fonts, the one with the most characters first; matplotlib's other fonts mostly repeat their
# shapes. (LastResort shows a symbol of the Unicode block instead of the character; the cm* fonts use TeX's encoding.)
FONTS = ("DejaVuSans.ttf", "STIXGeneral.ttf", "DejaVuSerif-Bold.ttf", "STIXGeneralItalic.ttf")
CATEGORIES = "LNPS"  # first letters of Unicode categories: letters, numbers, punctuation, symbols

SIDE = 128  # px of an image
MAX_GLYPH_SIDE = 100  # px of a glyph's longer side; the rest is margin
MIN_GLYPH_SIDE = 40  # px; a glyph that is smaller even at FONT_SIZE (a dot, a prime) leaves the image almost blank
FONT_SIZE = 160  # px per em; glyphs larger than MAX_GLYPH_SIDE are drawn at a smaller size
BORDER = 2  # px around the bounding box that the font reports for the text

CELL_SIDE = 8  # px; glyphs are compared by their mean coverage in square cells of this size
COVERAGE_LEVELS = 16  # levels of the mean coverage; with so few, the comparison is exact in float32
DUPLICATE_DISTANCE = 100  # squared distance up to which two glyphs look the same (by inspection of pairs)

MIN_CONTRAST = 4.5  # minimum contrast ratio of ink and paper, as WCAG 2 defines it and requires for text

Colour = tuple[int, int, int]  # sRGB, 0 to 255 each


class Glyph(NamedTuple):
    """A character in a font, given as an index into FONTS and a code point."""

    font: int
    code: int


def candidates(fonts: Iterable[int] = range(len(FONTS))) -> Iterator[Glyph]:
    """Yield every visible character of the fonts, by font and code point; DataError if a font is missing.

    Spaces and private, unassigned, control and combining characters are skipped.
    """
    for index in fonts:
        name = FONTS[index]
        try:
            with TTFont(_folder() / name, lazy=True) as font:
                names = font.getBestCmap()
        except (OSError, TTLibError) as error:
            raise DataError(f"can't read matplotlib's font {name} ({error}). Reinstall matplotlib.") from error
        for code in sorted(names):
            if unicodedata.category(chr(code))[0] in CATEGORIES and names[code] != ".notdef":
                yield Glyph(index, code)


def _folder() -> Path:
    # Don't import matplotlib: the import fails if MPLBACKEND names an unknown backend.
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise DataError("matplotlib, whose fonts are drawn, is not installed. Run: pip install matplotlib")
    return Path(spec.origin).parent / "mpl-data/fonts/ttf"


@cache
def _font(index: int, size: int) -> ImageFont.FreeTypeFont:
    # Use the basic layout, because the default depends on whether Pillow was built with Raqm.
    return ImageFont.truetype(str(_folder() / FONTS[index]), size, layout_engine=ImageFont.Layout.BASIC)


def draw_mask(glyph: Glyph) -> Image.Image | None:
    """Draw the glyph's coverage, 0 to 255, in the centre of a grey image of SIDE px. The glyph's longer side is at most
    MAX_GLYPH_SIDE px, plus 2 px that hinting can add. None if the glyph is blank or smaller than MIN_GLYPH_SIDE."""
    box = _draw(glyph, FONT_SIZE).getbbox()
    extent = max(box[2] - box[0], box[3] - box[1]) if box else 0
    if extent < MIN_GLYPH_SIDE:
        return None
    drawn = _draw(glyph, min(FONT_SIZE, FONT_SIZE * MAX_GLYPH_SIDE // extent))
    ink = drawn.crop(drawn.getbbox())
    centred = Image.new("L", (SIDE, SIDE))
    centred.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return centred


def _draw(glyph: Glyph, size: int) -> Image.Image:
    """Draw the character, not centred, on a canvas that is large enough for all of it."""
    font, text = _font(glyph.font, size), chr(glyph.code)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    canvas = Image.new("L", (right - left + 2 * BORDER, bottom - top + 2 * BORDER))
    ImageDraw.Draw(canvas).text((BORDER - left, BORDER - top), text, fill=255, font=font)
    return canvas


def signatures(glyphs: Iterable[Glyph]) -> tuple[list[Glyph], np.ndarray]:
    """Return the glyphs that can be drawn, and the coarse images by which they are compared: uint8 (N, cells)."""
    drawable, coarse = [], []
    for glyph in glyphs:
        drawn = draw_mask(glyph)
        if drawn is not None:
            drawable.append(glyph)
            coarse.append(np.asarray(drawn.reduce(CELL_SIDE)).ravel() // (256 // COVERAGE_LEVELS))
    return drawable, np.array(coarse, np.uint8).reshape(len(drawable), (SIDE // CELL_SIDE) ** 2)


def distinct_glyphs(results: Iterable[tuple[list[Glyph], np.ndarray]]) -> list[Glyph]:
    """Merge results of `signatures`, and return the glyphs that look different from all before them.

    This drops equal bitmaps (Latin A and Greek Alpha) and those that differ by a pixel (a hyphen and a minus).
    """
    glyphs: list[Glyph] = []
    arrays = []
    for found, coarse in results:
        glyphs += found
        arrays.append(coarse)
    points = np.concatenate(arrays).astype(np.float32)
    squares = (points * points).sum(1)
    kept = []
    for start in range(0, len(points), 512):  # in blocks: a full distance matrix would take a gigabyte
        stop = min(start + 512, len(points))
        distances = squares[start:stop, None] + squares[:stop] - 2 * points[start:stop] @ points[:stop].T
        later = np.arange(stop) >= np.arange(start, stop)[:, None]
        distances[later] = np.inf
        kept += [glyphs[start + at] for at in np.flatnonzero(distances.min(1) > DUPLICATE_DISTANCE)]
    return kept


def colours(glyph: Glyph, seed: int) -> tuple[Colour, Colour]:
    """Return paper (white to a light tint) and ink (any hue) for a glyph, with a contrast of at least MIN_CONTRAST."""
    random = Random(f"{seed} {glyph.font} {glyph.code}")
    paper = rgb(random.random(), random.uniform(0.92, 1.0), random.uniform(0.3, 1.0))
    hue, lightness, saturation = random.random(), random.uniform(0.3, 0.5), random.uniform(0.65, 1.0)
    ink = rgb(hue, lightness, saturation)
    while contrast(paper, ink) < MIN_CONTRAST:
        lightness *= 0.95
        ink = rgb(hue, lightness, saturation)
    return paper, ink


def rgb(hue: float, lightness: float, saturation: float) -> Colour:
    """Convert hue, lightness and saturation, 0 to 1 each, to sRGB."""
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def contrast(light: Colour, dark: Colour) -> float:
    """Return the contrast ratio of two sRGB colours according to WCAG 2: 1 (none) to 21 (black on white)."""
    return (_luminance(light) + 0.05) / (_luminance(dark) + 0.05)


def _luminance(colour: Colour) -> float:
    shares = (value / 255 for value in colour)
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def paint(glyph: Glyph, seed: int) -> np.ndarray:
    """Draw the glyph in its colours: uint8 (SIDE, SIDE, 3)."""
    return render(glyph, *colours(glyph, seed))


def render(glyph: Glyph, paper: Colour, ink: Colour) -> np.ndarray:
    """Draw the glyph in these colours: uint8 (SIDE, SIDE, 3)."""
    drawn = draw_mask(glyph)
    assert drawn is not None, glyph
    palette = np.linspace(paper, ink, 256).round().astype(np.uint8)  # indexed by coverage
    return palette[np.asarray(drawn)]


def chunks(glyphs: Sequence[Glyph], size: int = 200) -> list[Sequence[Glyph]]:
    """Divide the glyphs into lists of `size`, the work items of a process pool."""
    return [glyphs[start : start + size] for start in range(0, len(glyphs), size)]
