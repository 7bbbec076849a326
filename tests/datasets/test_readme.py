"""Runs the example in datasets/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ganzoo import DataInfo

README = Path(__file__).parents[2] / "datasets" / "README.md"


def test_the_plugin_in_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    (code,) = re.findall(r"^```python\n(.*?hookimpl.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
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
