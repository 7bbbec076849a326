"""Feature extraction: batching, resizing, grey images, and unsuitable weight files."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo.errors import CheckpointError
from ganzoo.metrics.backbones import FEATURES, Weights, choose
from ganzoo.metrics.features import BATCH, FeatureExtractor
from tests.support.reference import relative_error

pytestmark = pytest.mark.usefixtures("jittor")

COUNT = BATCH + 3


@pytest.fixture(scope="module")
def extractor(jittor) -> FeatureExtractor:
    return FeatureExtractor(choose(FEATURES, None, ()))


def noise(seed: int, *shape: int) -> np.ndarray:
    """Return images of noise, each brighter and of higher contrast than the previous one."""
    rng = np.random.default_rng(seed)
    factors = (np.arange(shape[0]) + 1).reshape(-1, *[1] * (len(shape) - 1)) / shape[0]
    return (rng.integers(0, 256, shape) * factors).astype(np.uint8)


def features(extractor: FeatureExtractor, *batches: np.ndarray) -> np.ndarray:
    return np.concatenate(list(extractor.stream(batches)))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return noise(0, COUNT, 40, 40, 3)


@pytest.fixture(scope="module")
def together(extractor, images) -> np.ndarray:
    """Features of all images, computed in one call."""
    return features(extractor, images)


@pytest.mark.parametrize("sizes", [[1] * COUNT, [2, BATCH - 3, 4], [BATCH, 3], [3, BATCH]], ids=str)
def test_features_do_not_depend_on_the_batches_of_the_input(extractor, images, together, sizes: Sequence[int]) -> None:
    batches = np.split(images, np.cumsum(sizes)[:-1])
    assert [len(each) for each in batches] == sizes
    assert np.array_equal(features(extractor, *batches), together)


def test_features_of_an_image_do_not_depend_on_the_others(extractor, images, together) -> None:
    assert together.shape == (COUNT, extractor.width)
    assert together.dtype == np.float32
    for index in (0, 1, BATCH - 1, BATCH, COUNT - 1):
        alone = features(extractor, images[index : index + 1])
        assert relative_error(alone[0], together[index]) < 1e-5


def test_different_images_have_different_features(together) -> None:
    differences = np.abs(together[:, None] - together[None]).max(2)
    assert (differences[~np.eye(COUNT, dtype=bool)] > 0.01 * together.max()).all()


def test_images_are_requested_as_they_are_needed(extractor, images) -> None:
    requested: list[int] = []

    def batches() -> Iterator[np.ndarray]:
        for index in range(6):
            requested.append(index)
            yield images[:BATCH]

    assert next(extractor.stream(batches())).shape == (BATCH, extractor.width)
    assert len(requested) < 6


def test_without_images_there_are_no_features(extractor, images) -> None:
    assert list(extractor.stream([])) == []
    assert list(extractor.stream([images[:0]])) == []


def test_errors_of_the_input_are_propagated(extractor, images) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield images
        raise CheckpointError("no more")

    with pytest.raises(CheckpointError, match="no more"):
        list(extractor.stream(batches()))


@pytest.mark.parametrize("side", [1, 9, 224, 300])
def test_images_of_any_size_are_scaled_by_pillow(extractor, side) -> None:
    originals = noise(side, 2, side, side, 3)
    scaled = [Image.fromarray(each).resize((224, 224), Image.Resampling.BICUBIC) for each in originals]
    expected = features(extractor, np.stack([np.asarray(each) for each in scaled]))
    assert np.array_equal(features(extractor, originals), expected)


@pytest.mark.parametrize("side", [50, 224])
def test_grey_images_are_rgb_of_equal_channels(extractor, side) -> None:
    grey = noise(1, 2, side, side, 1)
    assert np.array_equal(features(extractor, grey), features(extractor, np.repeat(grey, 3, 3)))


def open_weights(path: Path) -> Any:
    return Weights(FEATURES["efficientnet-lite0"], (path,), ("",)).open()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([np.zeros(3)], "contains a list instead of named weights"),
        ({"state_dict": {"_bn0.weight": np.zeros(32)}}, "contains a dict instead of named weights"),
        ({"_bn0.weight": 1.0}, "contains a dict instead of named weights"),
        ({}, "array '.*' is missing"),
        ({3: np.zeros(32)}, "array '.*' is missing"),
    ],
)
def test_a_file_without_weights_is_an_error(tmp_path, value, message) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(CheckpointError, match=rf"other\.pth: .*{message}"):
        open_weights(path)


def test_a_missing_and_a_damaged_file_are_errors(tmp_path) -> None:
    path = tmp_path / "other.pth"
    with pytest.raises(CheckpointError, match=r"other\.pth: there is no such file"):
        open_weights(path)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"other\.pth: damaged"):
        open_weights(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_fc.bias", None, "is missing"),
        ("_blocks.15._bn2.running_var", None, "is missing"),
        (
            "_blocks.9._depthwise_conv.weight",
            np.zeros((672, 1, 3, 3)),
            r"has shape \(672, 1, 3, 3\), expected \(672, 1, 5, 5\)",
        ),
        ("_blocks.0._bn1.bias", np.zeros((32, 1)), r"has shape \(32, 1\), expected \(32,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(extractor, tmp_path, name, value, message) -> None:
    from ganzoo.checkpoints.unpickling import safe_load

    state = {**safe_load(extractor.weights.paths[0]), name: value}
    if value is None:
        del state[name]
    path = tmp_path / "changed.pth"
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(CheckpointError, match=rf"changed\.pth: .*array '{name}' {message}"):
        open_weights(path)


sides = st.integers(1, 400)


def pixel_centres(before: int, after: int) -> np.ndarray:
    """Return the centres of `after` pixels in the coordinates of `before` pixels, whose centres are 0, 1, 2, ..."""
    return (np.arange(after) + 0.5) / after * before - 0.5


@settings(max_examples=100)
@given(sides, sides, st.integers(0, 2**32 - 1))
def test_pixels_are_interpolated(before, after, seed) -> None:
    from ganzoo.metrics.networks import resize_matrix

    row = np.random.default_rng(seed).uniform(0, 255, before)
    matrix = resize_matrix(before, after)
    assert matrix.shape == (after, before)
    assert np.allclose(matrix @ row, np.interp(pixel_centres(before, after), np.arange(before), row), rtol=0, atol=1e-9)


@settings(max_examples=100)
@given(sides, sides)
def test_each_pixel_is_a_weighted_mean_of_two_neighbours(before, after) -> None:
    from ganzoo.metrics.networks import resize_matrix

    matrix = resize_matrix(before, after)
    assert np.allclose(matrix.sum(1), 1, rtol=0, atol=1e-12)
    assert (matrix >= 0).all()
    assert ((matrix > 0).sum(1) <= 2).all()
    assert np.allclose(matrix, matrix[::-1, ::-1], rtol=0, atol=1e-9)


@settings(max_examples=100)
@given(sides, sides, st.integers(-500, 500), st.integers(-500, 500))
def test_linear_gradients_are_preserved_between_the_outermost_pixels(before, after, start, slope) -> None:
    from ganzoo.metrics.networks import resize_matrix

    centres = pixel_centres(before, after)
    inside = (centres >= 0) & (centres <= before - 1)
    found = resize_matrix(before, after) @ (start + slope * np.arange(before))
    assert np.allclose(found[inside], start + slope * centres[inside], rtol=0, atol=1e-8)


@given(sides)
def test_resizing_to_the_same_size_is_the_identity(side) -> None:
    from ganzoo.metrics.networks import resize_matrix

    assert np.array_equal(resize_matrix(side, side), np.eye(side))


@pytest.mark.parametrize(("before", "after"), [(5, 8), (40, 64), (90, 33)])
def test_rows_and_columns_are_interpolated(jittor, before, after) -> None:
    from ganzoo.metrics.networks import resize_bilinear

    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, before, before)).astype(np.float32)
    new, old = pixel_centres(before, after), np.arange(before)
    down = np.apply_along_axis(lambda column: np.interp(new, old, column), 2, images.astype(np.float64))
    expected = np.apply_along_axis(lambda row: np.interp(new, old, row), 3, down)
    assert relative_error(resize_bilinear(jittor.array(images), after), expected) < 1e-6
