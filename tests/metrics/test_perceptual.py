"""Perceptual distances with the default network, and with an AlexNet with random weights and heads."""

from __future__ import annotations

import pickle
from itertools import combinations

import numpy as np
import pytest

from ganzoo.backend.pixels import to_floats
from ganzoo.data.alpha import over_white
from ganzoo.metrics.backbones import PERCEPTUAL, Weights, choose
from ganzoo.metrics.perceptual import Perceptual
from tests.support.reference import random_weights, relative_error

pytestmark = pytest.mark.usefixtures("jittor")

CONVOLUTIONS = ((0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3))


@pytest.fixture(scope="module", params=["efficientnet-lite0", "alexnet"])
def perceptual(request: pytest.FixtureRequest, jittor, tmp_path_factory: pytest.TempPathFactory) -> Perceptual:
    if request.param == "efficientnet-lite0":
        return Perceptual(choose(PERCEPTUAL, request.param, ()))
    folder, rng = tmp_path_factory.mktemp("perceptual"), np.random.default_rng(0)
    shapes = [(f"features.{layer}.weight", (outputs, inputs, k, k)) for layer, inputs, outputs, k in CONVOLUTIONS]
    shapes += [(f"features.{layer}.bias", (outputs,)) for layer, _, outputs, _ in CONVOLUTIONS]
    heads = {
        f"lin{index}.model.1.weight": rng.uniform(0, 1, (1, outputs, 1, 1)).astype(np.float32)
        for index, (_, _, outputs, _) in enumerate(CONVOLUTIONS)
    }
    paths = (folder / "alexnet.pth", folder / "alex.pth")
    for path, state in zip(paths, (random_weights(shapes, rng), heads)):
        path.write_bytes(pickle.dumps(state))
    return Perceptual(Weights(PERCEPTUAL["alexnet"], paths, ("", "")))


def images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("count", "channels", "side"), [(2, 3, 64), (5, 3, 64), (3, 1, 64), (4, 3, 40)], ids=str)
def test_the_pairwise_distance_is_the_mean_over_all_pairs(perceptual, count, channels, side) -> None:
    groups = images(1, count, 2, channels, side, side)
    groups[:, 1] *= 0.1  # nearly equal images
    expected = np.mean([perceptual.distances(*pair) for pair in combinations(groups, 2)], 0, np.float64)
    found = perceptual.pairwise_distance(groups)
    assert found.shape == (2,)
    assert np.abs(found / expected - 1).max() < 1e-5


def test_the_pairwise_distance_of_equal_images_is_zero(perceptual) -> None:
    groups = np.repeat(images(2, 1, 2, 3, 64, 64), 4, 0)
    assert np.abs(perceptual.pairwise_distance(groups)).max() < 1e-10


def test_the_distance_of_an_image_from_itself_is_zero(perceptual) -> None:
    given = images(3, 3, 3, 64, 64)
    assert np.array_equal(perceptual.distances(given, given), np.zeros(3))


def test_distances_are_between_images_at_the_same_index(perceptual) -> None:
    one, other = images(4, 3, 3, 64, 64), images(5, 3, 3, 64, 64)
    other[2] = one[2]
    together = perceptual.distances(one, other)
    alone = [perceptual.distances(one[index : index + 1], other[index : index + 1])[0] for index in range(3)]
    assert relative_error(together, np.array(alone)) < 1e-5
    assert together[2] < 1e-6 < together[:2].min()
    assert relative_error(perceptual.distances(other, one), together) < 1e-6


def test_vars_and_arrays_give_the_same_distances(perceptual, jittor) -> None:
    one, other = images(6, 2, 3, 48, 48), images(7, 2, 3, 48, 48)
    found = perceptual.distances(jittor.array(one), jittor.array(other))
    assert np.array_equal(found, perceptual.distances(one, other))
    groups = np.stack([one, other])
    assert np.array_equal(perceptual.pairwise_distance(jittor.array(groups)), perceptual.pairwise_distance(groups))


def test_black_images_have_a_finite_distance(perceptual) -> None:
    """The features of black images may be zero, and zeros can't be normalised."""
    black = np.full((1, 3, 64, 64), -1, np.float32)
    assert np.isfinite(perceptual.distances(black, images(8, 1, 3, 64, 64))).all()
    assert np.array_equal(perceptual.distances(black, black), np.zeros(1))


def test_rgba_images_are_compared_over_white(perceptual) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, 64, 64, 4), np.uint8)
    pixels[:2, :20, :, 3] = 0  # hidden colours don't count
    one, other = to_floats(pixels[:2]), to_floats(pixels[2:])
    drawn = [to_floats(over_white(each)) for each in (pixels[:2], pixels[2:])]
    assert np.abs(perceptual.distances(one, other) / perceptual.distances(*drawn) - 1).max() < 0.01
    found = perceptual.pairwise_distance(np.stack([one, other]))
    assert np.abs(found / perceptual.distances(one, other) - 1).max() < 1e-5
    beyond = one.copy()
    beyond[:, :3] = np.where(
        one[:, 3:] == -1, 1, beyond[:, :3]
    )  # premultiplied colours above alpha, which no real image has
    assert np.array_equal(perceptual.distances(beyond, other), perceptual.distances(one, other))
