from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ganzoo.data.fitting import fit_image, padded_area
from ganzoo.data.images import fit_array
from ganzoo.data.order import random_box
from ganzoo.interfaces.dataset import FITS
from tests.data.pictures import noise

LANCZOS = Image.Resampling.LANCZOS

sides = st.integers(1, 90)
modes = st.sampled_from(["L", "RGB"])
fits = st.sampled_from(FITS)
boxes = st.none() | st.integers(0, 999).map(lambda seed: random_box(np.random.default_rng(seed)))


def fitted(image: Image.Image, size: int, fit: str, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    return np.asarray(fit_image(image, size, fit, box))


@given(sides, sides, st.integers(1, 40), modes, fits, boxes)
def test_an_image_of_any_size_becomes_a_square_of_its_mode(width, height, size, mode, fit, box):
    image = fit_image(noise(width, height, mode), size, fit, box)
    assert (image.size, image.mode) == ((size, size), mode)


@given(sides, sides, st.integers(1, 40), modes)
def test_pad_centres_the_whole_image_on_white(width, height, size, mode):
    image = noise(width, height, mode)
    square = fitted(image, size, "pad")
    left, top, right, bottom = padded_area(width, height, size)
    if min(width, height) * size >= max(width, height):  # Pillow can't resize to 0 px
        contained = ImageOps.contain(image, (size, size), LANCZOS)
        assert contained.size == (right - left, bottom - top)
        np.testing.assert_array_equal(square[top:bottom, left:right], np.asarray(contained))
    assert max(right - left, bottom - top) == size
    assert min(right - left, bottom - top) >= 1
    assert abs(left - (size - right)) <= 1
    assert abs(top - (size - bottom)) <= 1
    padding = np.ones((size, size), bool)
    padding[top:bottom, left:right] = False
    assert (square[padding] == 255).all()


@given(sides, sides, st.integers(1, 40), modes)
def test_stretch_scales_both_sides(width, height, size, mode):
    image = noise(width, height, mode)
    square = fitted(image, size, "stretch")
    if width < size < height:  # the height comes first
        image = image.resize((width, size), LANCZOS)
    np.testing.assert_array_equal(square, np.asarray(image.resize((size, size), LANCZOS)))


@given(sides, st.integers(1, 40), modes, boxes)
@example(17, 16, "L", random_box(np.random.default_rng(0)))  # this box is narrower than 16 px and taller
def test_a_square_image_is_the_same_in_each_mode(side, size, mode, box):
    image = noise(side, side, mode)
    for fit in ("pad", "stretch"):
        np.testing.assert_array_equal(fitted(image, size, fit, box), fitted(image, size, "crop", box))


@given(sides, sides, fits, modes)
def test_fitting_twice_is_fitting_once(width, height, fit, mode):
    once = fit_image(noise(width, height, mode), 16, fit)
    np.testing.assert_array_equal(fitted(once, 16, fit), np.asarray(once))


@given(sides, sides, st.integers(1, 40), fits)
def test_the_box_of_the_whole_square_changes_nothing(width, height, size, fit):
    image = noise(width, height)
    np.testing.assert_array_equal(fitted(image, size, fit, (0, 0, 1, 1)), fitted(image, size, fit))


def gradient(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 250 // width, rows * 250 // height, (rows + columns) * 2], 2)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("size", [64, 128, 160])
@pytest.mark.parametrize(
    ("width", "height", "picture"), [(40, 80, (12, 0, 52, 64)), (80, 40, (0, 8, 64, 48))], ids=["tall", "wide"]
)
def test_a_box_is_part_of_the_padded_square(width, height, picture, size):
    image, box = gradient(width, height), (0.1, 0.15, 0.9, 0.95)
    padded = Image.new("RGB", (80, 80), "white")
    padded.paste(image, ((80 - width) // 2, (80 - height) // 2))
    ours = fitted(image, size, "pad", box).astype(int)
    theirs = np.asarray(padded.resize((size, size), LANCZOS, box=(8, 12, 72, 76))).astype(int)
    left, top, right, bottom = (edge * size // 64 for edge in picture)
    expected = np.zeros((size, size), bool)
    expected[top:bottom, left:right] = True
    np.testing.assert_array_equal((ours != 255).any(2), expected)
    inside = np.s_[top + 8 : bottom - 8, left + 8 : right - 8]  # the reference blurs the edges
    assert np.abs(ours - theirs)[inside].max() <= 2


@pytest.mark.parametrize("size", [40, 64, 160])
def test_a_box_is_part_of_the_stretched_square(size):
    image = gradient(40, 80)
    both = image.resize((80, 80), LANCZOS)
    ours = fitted(image, size, "stretch", (0.1, 0.15, 0.9, 0.95)).astype(int)
    theirs = np.asarray(both.resize((size, size), LANCZOS, box=(8, 12, 72, 76))).astype(int)
    assert np.abs(ours - theirs)[:, :, :2].max() <= 3


def test_a_box_beside_the_padded_image_is_white():
    square = fitted(Image.new("RGB", (10, 80)), 16, "pad", (0.0, 0.0, 0.3, 0.3))
    assert (square == 255).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(1, 6_000_000), (6_000_000, 1)])
@pytest.mark.parametrize("box", [None, (0.05, 0.05, 0.95, 0.95)])
def test_a_strip_of_any_length_takes_little_memory(fit, shape, box, monkeypatch):
    resize, largest = Image.Image.resize, [0]

    def checked(self, size, resample, box):
        # Pillow's image between its two steps has the new width and the height of the box.
        largest[0] = max(largest[0], size[0] * round(box[3] - box[1]))
        return resize(self, size, resample, box)

    monkeypatch.setattr(Image.Image, "resize", checked)
    assert fit_image(Image.new("L", shape), 256, fit, box).size == (256, 256)
    assert largest[0] <= 6_000_000


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 16), st.integers(0, 255), fits, boxes)
def test_a_uniform_colour_is_kept(height, width, size, value, fit, box):
    square = fit_array(np.full((height, width, 1), value, np.uint8), size, 3, box, fit)
    assert set(np.unique(square)) <= ({value, 255} if fit == "pad" else {value})
    assert value in square
