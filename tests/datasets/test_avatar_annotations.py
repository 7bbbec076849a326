"""Tests of what is known of the images of the data set `avatars`, against DiceBear's own account and the drawings."""

from __future__ import annotations

from typing import Any

import pytest
from dicebear import Avatar
from ganzoo_datasets import avatar_annotations
from ganzoo_datasets.avatar_annotations import describe, variant
from ganzoo_datasets.avatar_styles import STYLES, Person, draw, person

PEOPLE = [person(0, index) for index in range(30)]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that draws a person in a style, and returns the options that DiceBear chose."""
    found: list[dict[str, Any]] = []

    class Spy(Avatar):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            found.append(self.to_json()["options"])

    monkeypatch.setattr("ganzoo_datasets.avatar_styles.Avatar", Spy)

    def draw_and_tell(style: str, someone: Person) -> dict[str, Any]:
        draw(style, someone, 8)
        return found[-1]

    return draw_and_tell


@pytest.mark.parametrize("style", STYLES)
def test_parts_are_those_that_dicebear_chooses(style: str, chosen: Any) -> None:
    for someone in PEOPLE:
        options, known = chosen(style, someone), describe(style, someone)
        assert known["glasses"] == ("glassesVariant" in options or "accessoriesVariant" in options)
        assert known["beard"] == ("beardVariant" in options or "facialHairVariant" in options)
        if style in avatar_annotations.HAIR_PARTS:
            part, _ = avatar_annotations.HAIR_PARTS[style]
            assert variant(style, part, someone) == options.get(f"{part}Variant")
        if known["mouth"] is not None:
            assert options["mouthVariant"].rstrip("0123456789") == known["mouth"]


@pytest.mark.parametrize("style", STYLES)
def test_hair_is_known_where_it_is_seen(style: str) -> None:
    for someone in PEOPLE:
        other = someone._replace(hair="blue" if someone.hair == "blond" else "blond")
        share = (draw(style, someone, 64) != draw(style, other, 64)).any(2).mean()
        if describe(style, someone)["hair"]:
            assert share > 0.01
        elif style not in avatar_annotations.HAIR_PARTS:  # others draw eyebrows or lines in the colour of the hair
            assert not share


def test_every_image_has_the_traits_that_can_be_chosen_as_labels() -> None:
    for style in STYLES:
        for someone in PEOPLE:
            known = describe(style, someone)
            assert list(known) == ["skin", "background", "hair", "glasses", "beard", "mouth"]
            assert None not in [known[name] for name in ("skin", "background", "glasses", "beard")]
            assert (known["skin"], known["background"]) == (someone.skin, someone.background)
