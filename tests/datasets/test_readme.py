"""Runs the examples in datasets/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import DataInfo
from ganzoo.data.order import indices_by_name
from ganzoo.data.storage import open_path

README = Path(__file__).parents[2] / "datasets" / "README.md"


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_the_plugin_in_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    (code,) = [each for each in examples() if "hookimpl" in each]
    plugin: dict[str, object] = {"__name__": "my_discs"}
    exec(code, plugin)
    (source,) = plugin["ganzoo_datasets"]()  # type: ignore[operator]
    assert not source.ready()
    data = source.open()
    assert source.ready()
    assert data.info == DataInfo("discs", 200, 32, 1, (), flip=True)
    ink = [255 * 32 * 32 - int(data.load(index)[0].astype(np.int64).sum()) for index in range(200)]
    assert ink == sorted(ink)
    assert ink[-1] > 10 * ink[0]


def test_pairs_that_lie_side_by_side_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facades" / "train").mkdir(parents=True)
    for name in ("1", "2"):
        pair = np.concatenate([np.full((8, 8, 3), 200, np.uint8), np.full((8, 8, 3), 20, np.uint8)], 1)
        Image.fromarray(pair).save(tmp_path / "facades" / "train" / f"{name}.jpg")
    (code,) = [each for each in examples() if "facades" in each]
    exec(code, {})
    dataset = open_path(tmp_path / "pairs")
    assert dataset.info.domains == ("label", "photo")
    (first, _), photos = indices_by_name(dataset)
    assert dataset.load(int(first))[0].shape == (8, 8, 3)
    assert int(dataset.load(int(first))[0].mean()) < 100 < int(dataset.load(int(photos[0]))[0].mean())
