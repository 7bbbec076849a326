"""Data sets with every image at several sizes, in a folder per size, unpacked or in a zip archive."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.data.pyramid import SIZES, choose_size
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise, write_folder, write_zip

WriteSet = Callable[[dict[str, bytes]], Path]


@pytest.fixture(params=["folder", "zip"])
def write_set(request: pytest.FixtureRequest, tmp_path: Path) -> WriteSet:
    if request.param == "zip":
        return lambda files: write_zip(tmp_path / "set.zip", files)
    return lambda files: write_folder(tmp_path / "set", files)


def picture(size: int, index: int, width: int | None = None) -> bytes:
    return encoded(noise(width or size, size, seed=size * 100 + index))


def pyramid(*sizes: int, names: tuple[str, ...] = ("a", "b", "c")) -> dict[str, bytes]:
    return {f"{size}/{name}.png": picture(size, index) for size in sizes for index, name in enumerate(names)}


@given(st.none() | st.integers(1, 2000), st.lists(st.sampled_from(SIZES), min_size=1, unique=True))
def test_the_nearest_size_is_the_smallest_that_is_large_enough(size: int | None, sizes: list[int]) -> None:
    found = choose_size(size, sizes)
    assert found in sizes
    if size is None or found < size:
        assert found == max(sizes)
    else:
        assert not [other for other in sizes if size <= other < found]


def test_folders_of_sizes_are_one_data_set(write_set: WriteSet) -> None:
    data = open_path(write_set(pyramid(8, 16, 32)))
    assert (data.info.count, data.info.size, data.info.domains) == (3, 32, ())
    for requested, stored in ((4, 8), (8, 8), (9, 16), (16, 16), (32, 32), (64, 32)):
        resized = data.at_size(requested)
        assert (resized.info.count, resized.info.size) == (3, stored)
        for index in range(3):
            np.testing.assert_array_equal(
                resized.load(index)[0], np.asarray(noise(stored, stored, seed=stored * 100 + index))
            )
    assert data.at_size(32) is data
    assert data.at_size(8).at_size(16).info.size == 16


def test_the_size_can_be_chosen_on_opening(write_set: WriteSet) -> None:
    assert open_path(write_set(pyramid(8, 16, 32)), size=16).info.size == 16


def test_images_are_matched_by_name_without_extension(write_set: WriteSet) -> None:
    files = {f"set/8/{name}": picture(8, index) for index, name in enumerate(["a.png", "a-1.png"])}
    files |= {f"set/16/{name}": picture(16, index) for index, name in enumerate(["a.bmp", "a-1.webp"])}
    data = open_path(write_set(files))
    assert [data.describe(index).rsplit("/", 1)[1] for index in range(2)] == ["a.bmp", "a-1.webp"]
    assert [data.at_size(8).describe(index).rsplit("/", 1)[1] for index in range(2)] == ["a.png", "a-1.png"]


def test_each_size_can_have_domains(write_set: WriteSet) -> None:
    data = open_path(write_set(pyramid(8, 16, names=("cat/1", "cat/2", "dog/1"))))
    assert data.info.domains == ("cat", "dog")
    assert [data.at_size(8).load(index)[1] for index in range(3)] == [0, 0, 1]


@pytest.mark.parametrize(
    "files",
    [
        # Classes of digits, with images of 9 px.
        {f"{kind}/{index}.png": picture(9, index) for kind in (4, 8) for index in range(3)},
        {f"{kind}/{index}.png": picture(8, index) for kind in (4, 8, 16) for index in range(3)},
        {"8/a.png": picture(8, 0), "16/a.png": picture(16, 0), "cats/a.png": picture(32, 0)},
        {"8/a.png": b"", "16/a.png": picture(16, 0)},
        {"1/a.png": picture(1, 0), "2/a.png": picture(2, 0)},
        {"08/a.png": picture(8, 0), "16/a.png": picture(16, 0)},
    ],
)
def test_other_folders_are_domains(write_set: WriteSet, files: dict[str, bytes]) -> None:
    data = open_path(write_set(files))
    assert set(data.info.domains) == {name.split("/")[0] for name in files}
    assert data.info.count == len(files)
    assert data.at_size(8) is data


def test_the_shorter_side_is_compared_with_the_name_of_the_folder(write_set: WriteSet) -> None:
    files = {"8/a.png": picture(8, 0, width=12), "16/a.png": picture(16, 0, width=24)}
    assert open_path(write_set(files)).info.domains == ()


def test_the_error_names_a_missing_image(write_set: WriteSet) -> None:
    files = pyramid(8, 16, 32)
    del files["16/b.png"]
    with pytest.raises(
        DataError,
        match=r"8/, 16/, 32/: these folders hold one .* but 1 of 3 images are missing from 16/ \(the first: b\)",
    ):
        open_path(write_set(files))


def test_two_images_with_the_same_name_are_an_error(write_set: WriteSet) -> None:
    with pytest.raises(DataError, match="8/: two images have the same name"):
        open_path(write_set({**pyramid(8, 16), "8/a.bmp": picture(8, 5)}))


def test_a_bad_image_does_not_affect_others(write_set: WriteSet) -> None:
    data = open_path(write_set({**pyramid(8, 16), "8/b.png": b"text"}))
    small = data.at_size(8)
    assert small.load(0)[0].shape == small.load(2)[0].shape == (8, 8, 3)
    with pytest.raises(DataError, match=r"8/b\.png"):
        small.load(1)


def test_a_data_set_at_one_size_can_be_pickled(write_set: WriteSet) -> None:
    data = pickle.loads(pickle.dumps(open_path(write_set(pyramid(8, 16))).at_size(8)))
    np.testing.assert_array_equal(data.load(1)[0], np.asarray(noise(8, 8, seed=801)))
