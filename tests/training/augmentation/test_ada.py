"""The distributions of ADA's transformations (Karras et al. 2020, appendix B)."""

from __future__ import annotations

import numpy as np
import pytest

from ganzoo.training.augmentation import ada

MANY = 20_000


def geometry(p, mirror=True, count=MANY, size=(32, 32)):
    return ada.draw_geometry(np.random.default_rng(0), count, size, p, mirror)


def colour(p, count=MANY):
    return ada.draw_colour(np.random.default_rng(0), count, p)


def test_at_p_0_nothing_is_transformed():
    np.testing.assert_allclose(geometry(0.0, count=9), np.tile(np.eye(3), (9, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(colour(0.0, count=9), np.tile(np.eye(3, 4), (9, 1, 1)), atol=1e-12)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_each_transformation_has_probability_p(p):
    matrices = geometry(p)
    areas = np.linalg.det(matrices[:, :2, :2])
    assert np.mean(areas < 0) == pytest.approx(p / 2, abs=0.02)  # half of the flips drawn leave the image as it is
    assert np.mean(~np.isclose(np.abs(areas), 1)) == pytest.approx(p, abs=0.02)  # the isotropic scale
    assert np.log2(np.abs(areas)).std() == pytest.approx(2 * 0.2 * np.sqrt(p), rel=0.05)
    colours = colour(p)
    assert np.mean(colours[:, 0, 3] != 0) == pytest.approx(p, abs=0.02)
    greys = (colours[:, :, :3] @ np.ones(3)).mean(1)
    assert np.mean(greys < 0) == pytest.approx(p / 2, abs=0.02)
    assert np.log2(np.abs(greys)).std() == pytest.approx(0.5 * np.sqrt(p), rel=0.05)


def test_rotation_by_any_angle_has_probability_p():
    linear = geometry(0.4)[:, :2, :2]
    axis_aligned = np.isclose(np.abs(linear) > 1e-9, np.eye(2)).all((1, 2)) | np.isclose(
        np.abs(linear) > 1e-9, 1 - np.eye(2)
    ).all((1, 2))
    assert np.mean(~axis_aligned) == pytest.approx(0.4, abs=0.02)


def test_images_that_may_not_be_mirrored_are_not_rotated_either():
    linear = geometry(1.0, mirror=False)[:, :2, :2]
    assert (linear[:, [0, 1], [1, 0]] == 0).all()
    assert (linear[:, [0, 1], [0, 1]] > 0).all()


def test_translations_are_an_eighth_of_the_side():
    moved = geometry(1.0, mirror=False, size=(16, 32))[:, :2, 2]
    # Uniform whole pixels, scaled afterwards, plus a normally distributed fraction.
    expected = np.array([32, 16]) * np.sqrt((1 / 8) ** 2 / 3 + (1 / 8) ** 2)
    np.testing.assert_allclose(moved.std(0), expected, rtol=0.1)


def test_hue_and_saturation_keep_the_mean_of_the_colours():
    at_grey = colour(1.0)[:, :, :3] @ np.ones(3)
    np.testing.assert_allclose(at_grey, at_grey[:, :1].repeat(3, 1), atol=1e-12)


def test_grey_images_get_what_grey_pixels_of_rgb_images_get():
    one, three = (ada.draw(np.random.default_rng(0), 5, (c, 8, 8), 0.9, True) for c in (1, 3))
    assert np.array_equal(one["lookup"], three["lookup"])
    np.testing.assert_allclose(one["mix"][:, 0, 0], three["mix"].sum(2).mean(1))
    np.testing.assert_allclose(one["offset"][:, 0], three["offset"].mean(1))


@pytest.mark.parametrize(("side", "move"), [(8, (3, 0)), (28, (0, -2)), (15, (1, 1))])
def test_an_image_is_moved_by_whole_pixels_exactly(jittor, side, move):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, side, side)).astype(np.float32)
    matrices = np.tile(np.eye(3), (2, 1, 1))
    matrices[:, :2, 2] = move
    parameters = {
        "lookup": ada._lookup(matrices, (side, side)),
        "mix": np.tile(np.eye(3), (2, 1, 1)),
        "offset": np.zeros((2, 3, 1, 1)),
    }
    right, down = move
    padded = np.pad(images, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
    expected = padded[:, :, 3 - down : side + 3 - down, 3 - right : side + 3 - right]
    np.testing.assert_allclose(ada.apply(jittor.array(images), parameters).numpy(), expected, atol=2e-6)
