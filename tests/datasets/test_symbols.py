from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from ganzoo_datasets import glyphs, symbols
from ganzoo_datasets.glyphs import FONTS, MAX_GLYPH_SIDE, MIN_CONTRAST, MIN_GLYPH_SIDE, SIDE, Glyph
from ganzoo_datasets.symbols import Symbols, build
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo import DataError, DataInfo, open_path, write_lmdb
from tests.data.pictures import encoded

LETTERS = [Glyph(font, ord(letter)) for font in range(len(FONTS)) for letter in "ABCDEFGHJK@"]


class Drawn(NamedTuple):
    """Properties of a drawn glyph."""

    pixels: int  # a hash
    box: tuple[int, int, int, int]
    darkest: int  # highest coverage by ink, 0 to 255


@pytest.fixture(scope="module")
def drawings() -> dict[Glyph, Drawn]:
    """Return all glyphs of the data set, with the properties of their drawings."""
    drawn = {}
    draw = glyphs.draw_mask

    def recorded(glyph: Glyph) -> Image.Image | None:
        image = draw(glyph)
        if image is not None:
            box = image.getbbox()
            assert box
            drawn[glyph] = Drawn(hash(image.tobytes()), box, image.getextrema()[1])
        return image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "draw_mask", recorded)
        distinct = glyphs.distinct_glyphs(map(glyphs.signatures, glyphs.chunks(list(glyphs.candidates()))))
    return {glyph: drawn[glyph] for glyph in distinct}


def pngs(path: Path) -> list[bytes]:
    storage = open_path(path).storage
    return [storage.read(key) for key in storage.keys]


def test_there_are_at_least_7000_different_glyphs(drawings: dict[Glyph, Drawn]) -> None:
    assert len(drawings) >= 7000
    assert len({drawn.pixels for drawn in drawings.values()}) == len(drawings)
    assert {glyph.font for glyph in drawings} == set(range(len(FONTS)))


def test_only_the_first_of_characters_that_look_the_same_is_used(drawings: dict[Glyph, Drawn]) -> None:
    assert Glyph(0, ord("A")) in drawings
    assert Glyph(0, 0x0391) not in drawings  # Greek Alpha
    assert Glyph(0, 0x0410) not in drawings  # Cyrillic A


def test_glyphs_are_visible_characters(drawings: dict[Glyph, Drawn]) -> None:
    categories = {unicodedata.category(chr(glyph.code))[0] for glyph in drawings}
    assert categories == set("LNPS")


def test_no_glyph_is_the_box_for_a_missing_character(drawings: dict[Glyph, Drawn]) -> None:
    for font in range(len(FONTS)):
        missing = glyphs.draw_mask(Glyph(font, 0x10FFFF))
        if missing is not None:
            assert hash(missing.tobytes()) not in {drawn.pixels for drawn in drawings.values()}


def test_glyphs_are_large_dark_centred_and_complete(drawings: dict[Glyph, Drawn]) -> None:
    for glyph, (_, (left, top, right, bottom), darkest) in drawings.items():
        assert MIN_GLYPH_SIDE - 2 <= max(right - left, bottom - top) <= MAX_GLYPH_SIDE + 2, glyph
        assert abs(left - (SIDE - right)) <= 1, glyph
        assert abs(top - (SIDE - bottom)) <= 1, glyph
        assert darkest > 150, glyph


def test_no_glyph_extends_past_its_canvas() -> None:
    for glyph in [*LETTERS, *(Glyph(0, code) for code in (0x1E4C, 0x1EA8, 0x1F82, 0xFDF2, 0x2A0C, 0x1D173, 0x2E3B))]:
        canvas = glyphs._draw(glyph, 160)
        box = canvas.getbbox()
        assert box is None or (box[0] > 0 and box[1] > 0 and box[2] < canvas.width and box[3] < canvas.height), glyph


@given(st.sampled_from(LETTERS), st.integers(0, 2**32))
def test_colours_are_readable_on_light_paper(glyph: Glyph, seed: int) -> None:
    paper, ink = glyphs.colours(glyph, seed)
    assert glyphs.contrast(paper, ink) >= MIN_CONTRAST
    assert min(paper) + max(paper) >= 2 * 0.91 * 255
    assert (paper, ink) == glyphs.colours(glyph, seed)


def test_contrast_ratios_match_wcag() -> None:
    assert glyphs.contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert glyphs.contrast((255, 255, 255), (118, 118, 118)) == pytest.approx(4.54, abs=0.01)
    assert glyphs.contrast((7, 8, 9), (7, 8, 9)) == 1


def test_colours_vary_with_glyph_and_seed() -> None:
    inks = {glyphs.colours(glyph, seed)[1] for glyph in LETTERS for seed in range(3)}
    assert len(inks) > 2.5 * len(LETTERS)


def test_images_are_paper_and_ink(tmp_path: Path) -> None:
    build(tmp_path / "x.lmdb", glyphs=[Glyph(0, 0x25A0)], processes=1)  # a black square
    data = open_path(tmp_path / "x.lmdb")
    assert data.info == DataInfo("x", 1, 128, 3, (), flip=False)
    pixels, label = data.load(0)
    paper, ink = glyphs.colours(Glyph(0, 0x25A0), 0)
    assert (pixels.shape, pixels.dtype, label) == ((128, 128, 3), np.uint8, 0)
    assert tuple(pixels[0, 0]) == paper
    assert tuple(pixels[64, 64]) == ink


def test_the_bytes_depend_on_the_seed_but_not_on_the_number_of_processes(tmp_path: Path) -> None:
    many = LETTERS * 10  # more than one chunk
    for name, seed, processes in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        build(tmp_path / f"{name}.lmdb", seed, many, processes)
    assert pngs(tmp_path / "one.lmdb") == pngs(tmp_path / "two.lmdb")
    assert not set(pngs(tmp_path / "one.lmdb")) & set(pngs(tmp_path / "other.lmdb"))


class Lethal(Glyph):
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_a_dead_process_is_an_error_and_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a worker process died"):
        build(tmp_path / "x.lmdb", glyphs=[*LETTERS, Lethal(0, 65)], processes=2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def few_glyphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reduce the data set to three glyphs, and return an empty data directory for it."""
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setattr(symbols, "_distinct", lambda processes: LETTERS[:3])
    return tmp_path


def test_the_data_set_is_generated_on_first_use(few_glyphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Symbols()
    assert not source.ready()
    data = source.open()
    assert source.ready()
    assert data.info == DataInfo("symbols", 3, 128, 3, (), flip=False)
    assert [data.at_size(size).load(2)[0].shape for size in (8, 16, 32, 64)] == [(s, s, 3) for s in (8, 16, 32, 64)]
    assert [path.name for path in few_glyphs.iterdir()] == ["symbols.lmdb"]
    monkeypatch.setattr(symbols, "build", None)
    assert source.open().info == data.info


def test_a_set_that_another_process_has_generated_is_used(few_glyphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_twice(path: Path) -> None:
        build(path)
        build(path)

    monkeypatch.setattr(symbols, "build", build_twice)
    assert Symbols().open().info.count == 3


def test_a_set_of_an_earlier_release_with_only_128_px_is_opened(few_glyphs: Path) -> None:
    glyph = Image.new("RGB", (128, 128), "teal")
    write_lmdb(few_glyphs / "symbols.lmdb", [encoded(glyph)] * 2, 128, {"flip": False, "seed": 0})
    data = Symbols().open()
    assert data.info == DataInfo("symbols", 2, 128, 3, (), flip=False)
    assert data.at_size(8) is data


def test_damage_is_an_error_with_a_remedy(few_glyphs: Path) -> None:
    (few_glyphs / "symbols.lmdb").mkdir()
    (few_glyphs / "symbols.lmdb" / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"not an LMDB.* Delete .*symbols\.lmdb to generate the data set again"):
        Symbols().open()


@pytest.mark.parametrize("content", [None, b"no font"])
def test_a_missing_or_damaged_font_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / FONTS[0]).write_bytes(content)
    monkeypatch.setattr(glyphs, "_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"can't read matplotlib's font DejaVuSans\.ttf .* Reinstall matplotlib"):
        list(glyphs.candidates())


def test_listing_the_data_sets_imports_nothing_heavy() -> None:
    code = (
        "import sys, ganzoo_datasets\n"
        "print([(source.name, source.summary, source.ready()) for source in ganzoo_datasets.ganzoo_datasets()])\n"
        "print(*{'numpy', 'PIL', 'matplotlib', 'fontTools', 'lmdb', 'jittor'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "symbols" in done.stdout
    assert done.stderr.strip() == ""
