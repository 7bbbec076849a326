"""The images of the data set `avatars`: the same people drawn in six styles of DiceBear, all of them CC0.

All functions depend only on their arguments, so that every process draws a person in the same way.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from dicebear import Avatar, Style
from PIL import Image
from resvg_py import svg_to_bytes

INK = "#2b2631"  # of lines
SKIN = {"pale": "#ffe0c4", "light": "#f2c49b", "tan": "#d49a6a", "brown": "#a5673f", "dark": "#6b4226"}
HAIR = {
    "black": "#262230",
    "brown": "#6a4128",
    "ginger": "#c5562a",
    "blond": "#e6bb5c",
    "grey": "#b9bcc4",
    "blue": "#3f74c6",
}
BACKGROUND = {
    "blue": "#b9dcf2",
    "green": "#bfe5cd",
    "orange": "#ffd3b8",
    "purple": "#d9ccf0",
    "yellow": "#fbeeb0",
    "pink": "#f7c6d0",
}
CLOTHES = ("#e4572e", "#2e86ab", "#57a773", "#f3a712", "#7d5ba6", "#d81e5b", "#3d5a80")
GLASSES_PROBABILITY, BEARD_PROBABILITY = 0.3, 0.15


class Person(NamedTuple):
    """What the styles have in common: names of colours, a colour of the clothes, glasses and a beard."""

    seed: str  # DiceBear chooses all other parts by it
    skin: str
    hair: str
    background: str
    clothes: str
    glasses: bool
    beard: bool


def person(seed: int, index: int) -> Person:
    """Return person `index` of the data set with this seed."""
    rng = np.random.default_rng([seed, index])
    skin, hair, background = (str(rng.choice([*names])) for names in (SKIN, HAIR, BACKGROUND))
    clothes = str(rng.choice(CLOTHES))
    glasses, beard = rng.random(2) < (GLASSES_PROBABILITY, BEARD_PROBABILITY)
    return Person(f"{seed}-{index}", skin, hair, background, clothes, bool(glasses), bool(beard))


def _percent(part: bool) -> int:
    return 100 if part else 0


def _lorelei(person: Person) -> dict[str, Any]:
    lines = dict.fromkeys(("eyesColor", "glassesColor", "mouthColor", "noseColor", "outlineColor"), INK)
    hair = dict.fromkeys(("eyebrowsColor", "hairColor"), HAIR[person.hair])
    return {**lines, **hair, "skinColor": SKIN[person.skin], "beardProbability": _percent(person.beard)}


def _notionists(person: Person) -> dict[str, Any]:
    return {
        "paperColor": SKIN[person.skin],  # of skin and clothes
        "inkColor": INK,  # of lines and hair
        "beardProbability": _percent(person.beard),
        "gestureProbability": 0,
    }


def _open_peeps(person: Person) -> dict[str, Any]:
    return {
        "skinColor": SKIN[person.skin],
        "clothingColor": person.clothes,
        "headContrastColor": HAIR[person.hair],  # of light hair, hats and headscarves
        "inkColor": _darker(HAIR[person.hair]),  # of lines and dark hair
        "accessoriesProbability": _percent(person.glasses),
        "accessoriesVariant": ["glasses", *(f"glasses{number}" for number in range(2, 6))],
        "facialHairProbability": _percent(person.beard),
        "maskProbability": 0,
    }


def _pixel_art(person: Person) -> dict[str, Any]:
    return {
        "skinColor": SKIN[person.skin],
        "hairColor": HAIR[person.hair],
        "clothingColor": person.clothes,
        "glassesColor": INK,
        "beardProbability": _percent(person.beard),
        "hatProbability": 0,
    }


def _voxel_art(person: Person) -> dict[str, Any]:
    return {
        "skinColor": SKIN[person.skin],
        "hairColor": HAIR[person.hair],
        "shirtColor": person.clothes,
        "beardProbability": _percent(person.beard),
    }


def _cutouts(person: Person) -> dict[str, Any]:
    return {"paperFaceColor": SKIN[person.skin], "paperHairColor": HAIR[person.hair], "hairProbability": 100}


# Each style, and the options that give a person's traits in it. A style without glasses or beards ignores them.
STYLES: Mapping[str, Callable[[Person], dict[str, Any]]] = {
    "cutouts": _cutouts,
    "lorelei": _lorelei,
    "notionists": _notionists,
    "open-peeps": _open_peeps,
    "pixel-art": _pixel_art,
    "voxel-art": _voxel_art,
}


def draw(style: str, person: Person, side: int) -> np.ndarray:
    """Draw a person in a style, as uint8 RGB (side, side, 3)."""
    options = STYLES[style](person)
    options |= {"seed": person.seed, "backgroundColor": BACKGROUND[person.background]}
    options.setdefault("glassesProbability", _percent(person.glasses))
    svg = Avatar(definition(style), options).to_string()
    drawn = svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)  # no style has text
    return np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))


@functools.cache
def definition(style: str) -> Style:
    """Return DiceBear's description of a style."""
    return Style(json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text("utf-8")))


def _darker(colour: str) -> str:
    """Mix a colour '#rrggbb' with INK, one part to two, for lines that show the colour of the hair."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(INK[1:]))
    return "#" + bytes((one + 2 * ink) // 3 for one, ink in pairs).hex()
