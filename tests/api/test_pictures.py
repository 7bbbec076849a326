"""Tests of images and animations in Python."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo import Animation, Images, OptionError
from ganzoo.sampling.generation import Row
from ganzoo.sampling.sheets import grid

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def two_classes() -> Images:
    return Images(PIXELS, [Row([3, 4, 5], "cat"), Row([3, 4, 5], "dog")], np.zeros((6, 2), np.float32))


def test_images_are_an_array_that_shows_itself_as_a_sheet() -> None:
    images = Images(PIXELS, [Row(range(6))])
    assert (np.asarray(images) == PIXELS).all()
    png: Any = images._repr_png_()
    assert (decoded(png) == grid(PIXELS, 1, 6)).all()
    assert images.seeds == (0, 1, 2, 3, 4, 5)


def test_each_class_has_a_row_with_its_name() -> None:
    images = two_classes()
    assert images.names == ("cat", "cat", "cat", "dog", "dog", "dog")
    sheet = images.sheet()
    assert (sheet[:, -grid(PIXELS, 2, 3).shape[1] :] == grid(PIXELS, 2, 3)).all()
    assert sheet.shape[1] > grid(PIXELS, 2, 3).shape[1]  # the names


def test_what_is_computed_from_images_has_neither_seeds_nor_latents() -> None:
    images = two_classes()
    for other in (images[2:4], images / 2, images.copy()):
        assert other.seeds is other.latents is other.names is None
    assert (images[2:4].sheet() == grid(PIXELS[2:4], 1, 2)).all()


def test_a_single_picture_is_shown_as_it_is_and_numbers_are_not_shown() -> None:
    images = two_classes()
    assert (images[0].sheet() == PIXELS[0]).all()
    assert images.mean(0)._repr_png_() is None
    assert images[:, 0, 0]._repr_png_() is None
    with pytest.raises(OptionError, match=r"not images: float64 \(8, 8, 3\)"):
        images.mean(0).sheet()


@pytest.mark.parametrize("name", ["sheet.png", "sheet.webp", "sheet.jpg"])
def test_a_sheet_can_be_saved(tmp_path: Path, name: str) -> None:
    images = Images(PIXELS, [Row(range(6))])
    assert images.save(tmp_path / name) == tmp_path / name
    assert Image.open(tmp_path / name).size == images.sheet().shape[1::-1]


def test_each_image_can_be_saved_to_a_folder(tmp_path: Path) -> None:
    two_classes().save(tmp_path / "classes")
    names = {f"{name}-seed000{seed}.png" for name in ("cat", "dog") for seed in (3, 4, 5)}
    assert {path.name for path in (tmp_path / "classes").iterdir()} == names
    assert (np.asarray(Image.open(tmp_path / "classes/dog-seed0004.png")) == PIXELS[4]).all()
    two_classes()[:2].save(str(tmp_path / "slice"))
    assert {path.name for path in (tmp_path / "slice").iterdir()} == {"image0000.png", "image0001.png"}


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"sheet.pdf: give a folder, or a file that ends in .png, .webp"):
        two_classes().save(tmp_path / "sheet.pdf")
    with pytest.raises(OptionError, match=r"walk.avi: give a file that ends in .gif, .webp, .apng, .mp4"):
        Animation(PIXELS).save(tmp_path / "walk.avi")


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.apng"])
def test_an_animation_can_be_saved(tmp_path: Path, name: str) -> None:
    Animation(PIXELS, fps=10).save(tmp_path / name)
    saved: Any = Image.open(tmp_path / name)
    assert (saved.n_frames, saved.size) == (6, (8, 8))
    saved.load()
    assert saved.info["duration"] == 100


def test_an_animation_plays_in_a_notebook() -> None:
    shown = Animation(PIXELS)._repr_html_()
    start = '<img alt="animation" src="data:image/webp;base64,'
    assert shown.startswith(start)
    played: Any = Image.open(io.BytesIO(base64.b64decode(shown.removeprefix(start).partition('"')[0])))
    assert (played.n_frames, played.size) == (6, (8, 8))
    assert repr(Animation(PIXELS)) == "<Animation: 6 frames of 8 x 8 px, 20 per second>"
