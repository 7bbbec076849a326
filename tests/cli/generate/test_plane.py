"""`ganzoo generate` between seeds, and with the style of another seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.stylegan_checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def saved(jittor, tmp_path_factory):
    path = tmp_path_factory.mktemp("stylegan") / "tiny.safetensors"
    write_checkpoint(path)
    return path


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether images are equal up to rounding errors, which differ between batch sizes."""
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 1)


@pytest.mark.parametrize("noise", ["const", "random"])
def test_a_whole_point_shows_its_seed(ganzoo, saved, noise):
    look = ["--psi", "0.6", "--noise", noise, "--out"]
    assert ganzoo("generate", str(saved), "--seeds", "203", *look, "a").exit_code == 0
    assert ganzoo("generate", str(saved), "--at", "3,2", "--at", "2.5,2", *look, "b").exit_code == 0
    assert alike(pixels("a/seed0203.png"), pixels("b/at3,2.png"))
    assert not alike(pixels("b/at2.5,2.png"), pixels("b/at3,2.png"))


def test_points_of_a_model_that_is_not_style_based(ganzoo, trained):
    assert ganzoo("generate", "--at", "0.5,0", "--at", "0,1", "--out", "made").exit_code == 0
    assert ganzoo("generate", "--seeds", "100", "--out", "made").exit_code == 0
    assert alike(pixels("made/at0,1.png"), pixels("made/seed0100.png"))
    assert (
        ganzoo("generate", "--at", "1,1", "--at", "0.5,0", "--interpolate", "--steps", "2", "--grid", "1x1").exit_code
        == 0
    )


def test_the_style_of_another_seed_is_that_of_a_mixing_sheet(ganzoo, saved):
    layers = ["--mix-layers", "2-5", "--psi", "0.8"]
    mixed = ganzoo("generate", str(saved), "--seeds", "4", "--mix-with", "9", *layers, "--out", "a")
    assert mixed.exit_code == 0, mixed.output
    assert (
        ganzoo(
            "generate", str(saved), "--mix", "--sources", "9", "--destinations", "4", *layers, "--out", "b"
        ).exit_code
        == 0
    )
    sheet = pixels("b/mixing-2-5.png")
    assert alike(pixels("a/seed0004.png"), sheet[68:132:2, 68:132:2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "1"], "--at: '1' is not a point X,Y of the plane of seeds, like 3.5,0.25"),
        (["--at", "1,2,3"], "--at: '1,2,3' is not a point"),
        (["--at", "-1,0"], "--at: '-1,0' is not a point"),
        (["--at", "nan,0"], "--at: 'nan,0' is not a point"),
        (["--at", "1e12,0"], "--at: '1e12,0' is not a point"),
        (["--at", "1,2", "--seeds", "3"], "--at and --seeds: choose one of them"),
        (["--at", "1,2", "--mix"], "--at: not for --mix"),
        (["--mix-with", "3", "--mix-layers", "9"], "--mix-layers 9: images of this size have the style layers 0-7"),
        (["--mix-with", "3", "--interpolate"], "--mix-with: not for --interpolate"),
        (["--mix-with", "3", "--mix"], "--mix-with: not for --mix"),
        (["--mix-layers", "3"], "--mix-layers: for --mix only"),
        (["--interpolate", "--at", "1,2"], "--interpolate: a walk needs at least two seeds"),
    ],
)
def test_invalid_options_are_reported_in_one_line(ganzoo, saved, arguments, message):
    result = ganzoo("generate", str(saved), *arguments)
    assert (result.exit_code, len([x for x in result.stderr.splitlines() if x.startswith("Error")])) == (2, 1)
    assert message in result.stderr


def test_only_style_based_models_mix(ganzoo, trained):
    result = ganzoo("generate", "--mix-with", "3")
    assert result.exit_code == 2
    assert "--mix-with: for style-based generators only" in result.stderr
