"""The images of the data set `styles`: the same characters in three type families, each with its own range of colours.

All functions depend only on their arguments, so that every process draws a character in the same way.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from ganzoo_datasets.glyphs import (
    MIN_CONTRAST,
    Colour,
    Glyph,
    candidates,
    contrast,
    distinct_glyphs,
    render,
    rgb,
    signatures,
)

# An index into glyphs.FONTS for each domain; these three fonts are easy to tell apart.
FAMILIES = {"bold": 2, "italic": 3, "sans": 0}
MIN_FAMILY_DISTANCE = 1000  # squared distance of signatures up to which two families look too similar (by inspection)


class ColourRange(NamedTuple):
    """A range of colours, by lightness and saturation; any hue."""

    lightness: tuple[float, float]
    saturation: tuple[float, float]

    def sample(self, random: Random) -> tuple[float, float, float]:
        """Return a random hue, lightness and saturation."""
        return random.random(), random.uniform(*self.lightness), random.uniform(*self.saturation)


# The ranges of paper and ink. A translation to another family has to change both colours, but may choose any hues.
COLOURS = {
    "bold": (ColourRange((0.10, 0.22), (0.5, 1.0)), ColourRange((0.70, 0.85), (0.6, 1.0))),
    "italic": (ColourRange((0.60, 0.75), (0.6, 1.0)), ColourRange((0.05, 0.20), (0.4, 1.0))),
    "sans": (ColourRange((0.92, 1.00), (0.3, 1.0)), ColourRange((0.30, 0.50), (0.65, 1.0))),
}


def characters() -> list[int]:
    """Return, in ascending order, the code points that all families contain, each family in a different shape.

    Of several characters that look the same in one of the families (Latin A, Greek Alpha), only the first is used.
    """
    glyphs, coarse = signatures(candidates(sorted(FAMILIES.values())))
    signature_of = dict(zip(glyphs, coarse.astype(int)))
    common = set.intersection(*({glyph.code for glyph in glyphs if glyph.font == font} for font in FAMILIES.values()))
    for font in FAMILIES.values():
        own = [Glyph(font, code) for code in sorted(common)]
        common &= {glyph.code for glyph in distinct_glyphs([(own, np.stack([signature_of[glyph] for glyph in own]))])}
    return [
        code
        for code in sorted(common)
        if _families_differ([signature_of[Glyph(font, code)] for font in FAMILIES.values()])
    ]


def _families_differ(rows: list[np.ndarray]) -> bool:
    distances = (((one - other) ** 2).sum() for at, one in enumerate(rows) for other in rows[:at])
    return all(distance > MIN_FAMILY_DISTANCE for distance in distances)


def colours(family: str, code: int, copy: int, seed: int) -> tuple[Colour, Colour]:
    """Return the colours of paper and ink for a copy of a character in a family. Their contrast is at least
    MIN_CONTRAST."""
    random = Random(f"{seed} {family} {code} {copy}")
    paper, ink = (colours.sample(random) for colours in COLOURS[family])
    light, dark = sorted((paper, ink), key=lambda colour: -colour[1])
    # Some hues are dark at any lightness, so both colours change.
    while contrast(rgb(*light), rgb(*dark)) < MIN_CONTRAST:
        light = (light[0], 1 - (1 - light[1]) * 0.97, light[2])
        dark = (dark[0], dark[1] * 0.97, dark[2])
    return (rgb(*light), rgb(*dark)) if paper[1] > ink[1] else (rgb(*dark), rgb(*light))


def paint(family: str, code: int, copy: int, seed: int) -> np.ndarray:
    """Draw a character in its colours: uint8 (SIDE, SIDE, 3)."""
    return render(Glyph(FAMILIES[family], code), *colours(family, code, copy, seed))
