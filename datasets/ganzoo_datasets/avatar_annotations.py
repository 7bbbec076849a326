"""What is known of the images of the data set `avatars`: the traits of the person, and parts that DiceBear chooses."""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from dicebear.prng import Prng

from ganzoo_datasets.avatar_styles import Person, definition

WITHOUT_GLASSES_AND_BEARDS = ("cutouts",)  # styles
WITH_MOUTHS = ("cutouts", "lorelei", "pixel-art", "voxel-art")  # styles whose mouths have names; others number theirs
# The part with the hair, and its variants that show none, in styles where some do.
HAIR_PARTS = {
    "open-peeps": ("head", re.compile("noHair.*|hat.*|hijab|turban|bear")),
    "voxel-art": ("top", re.compile("cap|beanie|animalEars|bunnyEars")),
}
INK_HAIR = ("notionists",)  # styles that draw all hair in ink


def describe(style: str, person: Person) -> dict[str, Any]:
    """Return what is known of the image of a person in a style. `hair` is its colour, None if none is seen; `mouth` is
    None where the style doesn't say what it looks like."""
    possible = style not in WITHOUT_GLASSES_AND_BEARDS
    return {
        "skin": person.skin,
        "background": person.background,
        "hair": person.hair if _shows_hair(style, person) else None,
        "glasses": possible and person.glasses,
        "beard": possible and person.beard,
        "mouth": re.sub(r"\d+$", "", variant(style, "mouth", person) or "") if style in WITH_MOUTHS else None,
    }


def _shows_hair(style: str, person: Person) -> bool:
    if style not in HAIR_PARTS:
        return style not in INK_HAIR
    part, hairless = HAIR_PARTS[style]
    chosen = variant(style, part, person)
    return chosen is not None and not hairless.fullmatch(chosen)


def variant(style: str, part: str, person: Person) -> str | None:
    """Return the variant of a part that DiceBear chooses by the person's seed; None if it leaves the part out.

    This repeats DiceBear's choice, which takes a few microseconds, because drawing the avatar takes milliseconds.
    """
    probability, names, sums = _variants(style, part)
    numbers = Prng(person.seed)
    if probability < 100 and not numbers.bool(f"{part}Probability", probability):
        return None
    return names[bisect_right(sums, numbers.get_value(f"{part}Variant") * sums[-1])]


@functools.cache
def _variants(style: str, part: str) -> tuple[float, list[str], list[float]]:
    """Return the probability of a part in per cent, its variants in DiceBear's order, and the running sums of their
    weights."""
    component = definition(style).components()[part]
    variants = component.variants()
    names = sorted(variants)
    return component.probability(), names, list(accumulate(float(variants[name].weight()) for name in names))
