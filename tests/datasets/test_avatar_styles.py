"""Tests of the images of the data set `avatars`."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from ganzoo_datasets.avatar_styles import BACKGROUND, HAIR, SKIN, STYLES, Person, draw, person
from hypothesis import given
from hypothesis import strategies as st


def colour(value: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(value[1:]), np.uint8)


def share(image: np.ndarray, value: str) -> float:
    """Return the share of pixels that have exactly this colour."""
    return float((image == colour(value)).all(2).mean())


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_in_the_public_domain(style: str) -> None:
    definition = json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text("utf-8"))
    assert definition["meta"]["license"]["name"] == "CC0 1.0"


@pytest.mark.parametrize("style", STYLES)
def test_a_person_has_the_same_background_and_skin_in_every_style(style: str) -> None:
    for background in BACKGROUND:
        image = draw(style, Person("1", "tan", "ginger", background, "#57a773", glasses=False, beard=False), 64)
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert share(image, BACKGROUND[background]) > 0.2
        # Pixel art shades some of the skin.
        assert share(image, SKIN["tan"]) > (0.02 if style == "pixel-art" else 0.03)


@pytest.mark.parametrize("style", ["cutouts", "lorelei", "pixel-art", "voxel-art"])
def test_a_person_has_the_same_hair_in_these_styles(style: str) -> None:
    for hair in ("ginger", "blue"):
        shares = [
            share(draw(style, Person(str(seed), "pale", hair, "pink", "#57a773", False, False), 64), HAIR[hair])
            for seed in range(6)
        ]
        assert max(shares) > 0.03


@pytest.mark.parametrize("style", sorted({*STYLES} - {"cutouts"}))
@pytest.mark.parametrize("part", ["glasses", "beard"])
def test_a_person_has_glasses_and_a_beard_in_these_styles(style: str, part: str) -> None:
    someone = Person("2", "light", "blond", "green", "#e4572e", glasses=False, beard=False)
    assert (draw(style, someone, 64) != draw(style, someone._replace(**{part: True}), 64)).any()


@given(st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_person_depends_only_on_seed_and_index(seed: int, index: int) -> None:
    assert person(seed, index) == person(seed, index)
    assert person(seed, index).seed != person(seed, index + 1).seed


def test_traits_are_spread_over_the_people() -> None:
    people = [person(0, index) for index in range(2000)]
    for trait, names in (("skin", SKIN), ("hair", HAIR), ("background", BACKGROUND)):
        found = [getattr(each, trait) for each in people]
        assert {*found} == {*names}
        assert min(map(found.count, names)) > 0.7 * 2000 / len(names)
    assert np.mean([each.glasses for each in people]) == pytest.approx(0.3, abs=0.05)
    assert np.mean([each.beard for each in people]) == pytest.approx(0.15, abs=0.05)
