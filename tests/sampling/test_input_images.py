from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.data.images import fit_array
from ganzoo.interfaces.dataset import FITS, DataInfo
from ganzoo.sampling.input_images import InputImages, UniqueNames, filename_part
from tests.data.pictures import encoded, noise, write_folder


def test_names_are_unique():
    names = UniqueNames()
    made = [names.new(name) for name in ["a", "a-2", "a", "a", "a-2", "b", "a-2-2"]]
    assert len(set(made)) == len(made)
    assert made[:3] == ["a", "a-2", "a-3"]


def test_a_part_of_a_file_name_is_short_and_has_no_separator():
    assert [filename_part("a/b"), filename_part("\0"), len(filename_part("\u72d0" * 99).encode()) <= 60] == [
        "a-b",
        "-",
        True,
    ]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_square_as_in_training(tmp_path: Path, fit: str, channels: int) -> None:
    sources = {width: noise(width, 12, "RGB" if channels == 3 else "L") for width in (20, 9)}
    folder = write_folder(tmp_path, {f"{width}.png": encoded(image) for width, image in sources.items()})
    images = [*InputImages([str(folder)], "--source", DataInfo("x", 1, 8, channels, fit=fit))]
    assert len(images) == 2
    for image in images:
        pixels = np.asarray(sources[int(image.name)]).reshape(12, -1, channels)
        np.testing.assert_array_equal(image.pixels, fit_array(pixels, 8, fit=fit))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 3))
def test_only_padding_is_removed(tmp_path_factory: pytest.TempPathFactory, width: int, height: int, scale: int) -> None:
    folder = write_folder(
        tmp_path_factory.mktemp("sources"), {"a.png": encoded(noise(width, height, "L").point([9] * 256))}
    )
    (image,) = InputImages([str(folder)], "--source", DataInfo("x", 1, 16, 1, fit="pad"))
    translated = image.pixels.repeat(scale, 0).repeat(scale, 1)  # by a model that enlarges images
    picture = image.without_padding(translated)
    assert (picture == 9).all()
    assert picture.size == (translated == 9).sum() > 0
    (image,) = InputImages([str(folder)], "--source", DataInfo("x", 1, 16, 1))
    assert image.without_padding(image.pixels).shape == (16, 16, 1)
