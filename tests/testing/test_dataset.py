"""The test of data sets passes a correct one, and names the fault of each incorrect one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ganzoo.data.storage import open_path
from ganzoo.testing import check_dataset
from tests.data.pictures import encoded, noise, write_folder
from tests.support.shades import Shades


def test_a_correct_data_set_passes() -> None:
    check_dataset(Shades(domains=("a", "b")))
    check_dataset(Shades(()))


@pytest.mark.parametrize(
    ("method", "result", "expected"),
    [
        ("attributes", np.zeros((10, 2)), r"`attributes` must return an array float32 \(10, 2\), not float64"),
        ("attributes", np.full((10, 2), np.nan, np.float32), "the attribute 'bright' of image 0 of shades is nan"),
        ("labels", np.ones(10, int), "image 0 of shades has the label 0, but `labels` says 1"),
        ("labels", np.zeros(11, int), r"`labels` must return \(10,\) numbers, not \(11,\)"),
        ("load", (np.zeros((8, 8, 3), np.uint8), 0), r"must be an array uint8 \(H, W, C\) with C = 1 or 1, not uint8"),
        ("load", (np.zeros((8, 8, 1), np.uint8), 0), r"is not resized to 4 px: its shape is \(8, 8, 1\)"),
        ("at_size", Shades(count=9), "`at_size` gives a data set of other images, labels or attributes"),
        ("annotations", {"x": [1]}, "the annotation 'x' has 1 value for 10 images"),
        ("validation", Shades(("age",)), "the validation images have other domains or attributes"),
    ],
)
def test_a_faulty_data_set_is_caught(monkeypatch, method: str, result: Any, expected: str) -> None:
    dataset = Shades()
    monkeypatch.setattr(dataset, method, lambda *arguments: result)
    with pytest.raises(AssertionError, match=expected):
        check_dataset(dataset)


def test_transparency_is_checked_if_there_is_any(tmp_path, monkeypatch) -> None:
    data = open_path(write_folder(tmp_path / "set", {"a.png": encoded(noise(8, 8, "LA"))}))
    check_dataset(data)
    monkeypatch.setattr(data, "with_alpha", lambda: data)
    with pytest.raises(AssertionError, match=r"`with_alpha` must only set `info.channels` to 4"):
        check_dataset(data)
    shades = Shades()
    shades.has_alpha = True
    with pytest.raises(AssertionError, match="shades has `has_alpha`, but `with_alpha` fails"):
        check_dataset(shades)
