"""Tests of the data set `styles`: the same characters in three type families, which are its domains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ganzoo_datasets import families, styles
from ganzoo_datasets.families import FAMILIES, MIN_FAMILY_DISTANCE, characters
from ganzoo_datasets.glyphs import CELL_SIDE, COVERAGE_LEVELS, MIN_CONTRAST, Glyph, contrast, draw_mask
from ganzoo_datasets.styles import COPIES, DOMAINS, Styles, build
from hypothesis import given
from hypothesis import strategies as st

from ganzoo import DataError, DataInfo, open_path

LETTERS = [ord(letter) for letter in "ABCDEFGHIJKLMNOPQRSTUV"]


@pytest.fixture(scope="module")
def chosen() -> list[int]:
    return characters()


@pytest.fixture
def few_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Limit the data set to 22 letters, and return its data directory, which is empty."""
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setattr(families, "characters", lambda: LETTERS)
    return tmp_path


def coarse_shape(family: str, code: int) -> np.ndarray:
    """Return the coverage of a character in cells of CELL_SIDE px, from 0 to COVERAGE_LEVELS - 1."""
    drawn = draw_mask(Glyph(FAMILIES[family], code))
    assert drawn is not None, (family, code)
    return np.asarray(drawn.reduce(CELL_SIDE)).astype(int) // (256 // COVERAGE_LEVELS)


def test_the_domains_are_the_families() -> None:
    assert sorted(FAMILIES) == list(DOMAINS)


def test_hundreds_of_characters_look_different_in_every_family(chosen: list[int]) -> None:
    assert len(chosen) >= 400
    assert {*b"AGQRZagkyz0123456789"} <= {*chosen}
    assert chosen == sorted({*chosen})
    for code in chosen:
        drawn = [coarse_shape(family, code) for family in DOMAINS]
        for at, one in enumerate(drawn):
            for other in drawn[:at]:
                assert ((one - other) ** 2).sum() > MIN_FAMILY_DISTANCE, chr(code)


def test_only_the_first_of_characters_that_look_the_same_is_used(chosen: list[int]) -> None:
    assert 0x0391 not in chosen  # Greek Alpha
    assert 0x0410 not in chosen  # Cyrillic A


@given(st.sampled_from(DOMAINS), st.sampled_from(LETTERS), st.integers(0, COPIES), st.integers(0, 2**32))
def test_colours_are_readable_and_specific_to_the_family(family: str, code: int, copy: int, seed: int) -> None:
    paper, ink = families.colours(family, code, copy, seed)
    light, dark = (ink, paper) if family == "bold" else (paper, ink)
    assert contrast(light, dark) >= MIN_CONTRAST
    # The paper's lightness: the mean of its lowest and highest channel. The families' ranges don't overlap.
    assert (min(paper) + max(paper)) / 510 == pytest.approx(
        {"bold": 0.15, "italic": 0.7, "sans": 0.96}[family], abs=0.11
    )


def test_colours_vary_within_a_family() -> None:
    drawn = {families.colours("sans", code, copy, 0) for code in LETTERS for copy in range(COPIES)}
    assert len(drawn) > 0.95 * len(LETTERS) * COPIES


def test_training_and_validation_images_are_generated_on_first_use(
    few_letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Styles()
    assert not source.ready()
    data = source.open()
    validation = data.validation()
    assert validation is not None
    assert source.ready()
    assert data.info == DataInfo("styles", 20 * 3 * COPIES, 64, 3, ("bold", "italic", "sans"))
    assert validation.info == DataInfo("styles-val", 2 * 3 * COPIES, 64, 3, ("bold", "italic", "sans"))
    assert np.bincount(data.labels()).tolist() == [20 * COPIES] * 3
    assert np.bincount(validation.labels()).tolist() == [2 * COPIES] * 3
    assert [data.at_size(size).load(2)[0].shape for size in (8, 16, 32)] == [(s, s, 3) for s in (8, 16, 32)]
    assert sorted(path.name for path in few_letters.iterdir()) == ["styles-val.lmdb", "styles.lmdb"]
    monkeypatch.setattr(styles, "build", None)
    assert source.open().info == data.info


def test_validation_characters_are_the_same_in_all_families() -> None:
    data = styles.StylesDataset([65, 66], 0, validation=[67])
    validation = data.validation()
    assert validation is not None
    for part, codes in ((data, {65, 66}), (validation, {67})):
        descriptions = [part.describe(index) for index in range(len(part))]
        assert {int(line.split("character ")[1].split(",")[0]) for line in descriptions} == codes
        assert [DOMAINS[label] for label in part.labels()] == [line.split(", ")[1] for line in descriptions]
        for index in range(len(part)):
            assert part.load(index)[1] == part.labels()[index]


def test_images_are_paper_and_ink_in_the_shape_of_the_family() -> None:
    for family in DOMAINS:
        paper, ink = families.colours(family, 65, 1, 0)
        pixels = families.paint(family, 65, 1, 0)
        drawn = draw_mask(Glyph(FAMILIES[family], 65))
        assert drawn is not None
        coverage = np.asarray(drawn)
        assert (pixels[coverage == 0] == paper).all()
        assert (pixels[coverage == 255] == ink).all()
        assert (coverage == 255).sum() > 300


def test_the_bytes_depend_on_the_seed_but_not_on_the_number_of_processes(tmp_path: Path) -> None:
    files = {}
    for name, seed, processes in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        build(tmp_path / f"{name}.lmdb", seed, LETTERS[:12], processes)
        storage = open_path(tmp_path / f"{name}.lmdb").storage
        files[name] = [storage.read(key) for key in storage.keys]
    assert files["one"] == files["two"]
    assert not {*files["one"]} & {*files["other"]}


def test_a_set_that_another_process_has_generated_is_used(few_letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_twice(path: Path) -> None:
        build(path)
        build(path)

    monkeypatch.setattr(styles, "build", build_twice)
    assert Styles().open().info.count == 20 * 3 * COPIES


def test_damage_is_an_error_with_a_remedy(few_letters: Path) -> None:
    (few_letters / "styles.lmdb").mkdir()
    (few_letters / "styles.lmdb" / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"not an LMDB.* Delete .*styles\.lmdb and styles-val\.lmdb"):
        Styles().open()
