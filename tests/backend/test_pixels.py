"""Conversion between uint8 images and the floats that networks see, above all of RGBA."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ganzoo.backend import arrays as backend_arrays
from ganzoo.backend.pixels import to_floats, to_uint8

RGBA = arrays.arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 4), st.integers(1, 4), st.just(4)))
FLOATS = arrays.arrays(np.float32, (1, 4, 3, 3), elements=st.floats(-1.5, 1.5, width=32, allow_subnormal=False))


@given(RGBA)
def test_rgba_survives_a_round_trip_except_for_hidden_colours(pixels):
    visible = pixels[..., 3:] > 0
    assert np.array_equal(to_uint8(to_floats(pixels)), np.where(visible, pixels, 0))


@given(FLOATS)
def test_premultiplied_floats_are_rounded_to_the_nearest_level(floats):
    alpha = (np.clip(floats[:, 3:], -1, 1) + 1) / 2
    colours = np.clip((floats[:, :3] + 1) / 2, 0, alpha)
    rounded = (to_floats(to_uint8(floats)) + 1) / 2
    assert np.abs(rounded[:, 3:] - alpha).max() <= 0.5001 / 255
    assert np.abs(rounded[:, :3] - colours).max() <= 0.5001 / 255


@given(RGBA)
def test_colours_are_multiplied_by_alpha(pixels):
    exact = pixels.astype(np.float64).transpose(0, 3, 1, 2) / 255
    exact[:, :3] *= exact[:, 3:]
    np.testing.assert_allclose(to_floats(pixels), 2 * exact - 1, atol=1e-6)


def test_opaque_images_have_the_same_floats_with_and_without_alpha():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
    rgba = np.concatenate([rgb, np.full((3, 5, 4, 1), 255, np.uint8)], 3)
    floats = to_floats(rgba)
    assert np.array_equal(floats[:, :3], to_floats(rgb))
    assert (floats[:, 3] == 1).all()
    assert np.array_equal(to_uint8(floats)[..., :3], rgb)


def test_numbers_that_are_not_finite_give_valid_pixels():
    floats = np.full((1, 4, 1, 2), np.nan, np.float32)
    floats[..., 1] = np.inf
    assert to_uint8(floats)[0, 0].tolist() == [[0, 0, 0, 0], [255, 255, 255, 255]]


def test_images_converted_on_the_gpu_are_premultiplied_too(jittor, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4), np.uint8)
    monkeypatch.setattr(backend_arrays, "device", lambda: "cuda")
    np.testing.assert_allclose(backend_arrays.from_images(pixels).numpy(), to_floats(pixels), atol=1e-6)
