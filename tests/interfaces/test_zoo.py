"""Reading the cards of trained models."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.errors import PluginError
from ganzoo.interfaces.zoo import zoo_models
from tests.support import zoo


def test_a_folder_has_an_entry_for_each_card(tmp_path: Path) -> None:
    (tmp_path / "any").write_bytes(b"weights")
    for name in ("b", "a"):
        zoo.write_entry(tmp_path / "weights", name, tmp_path / "any")
    (tmp_path / "weights" / "b.png").write_bytes(b"")
    a, b = zoo_models(tmp_path / "weights")
    assert (a.name, b.name) == ("a", "b")
    assert (a.summary, a.license, a.data_license) == ("Noise.", "MIT", "CC0")
    assert a.metrics == {"fid1k-real1k-simple": 12.345}
    assert a.file == tmp_path / "weights" / "a.safetensors"
    assert (a.picture, b.picture) == (None, tmp_path / "weights" / "b.png")


def test_a_folder_that_does_not_exist_has_no_entries(tmp_path: Path) -> None:
    assert zoo_models(tmp_path / "weights") == []


@pytest.mark.parametrize("text", ["", "[1]", "{", "3", "null", "\udcff", "[" * 100_000, '{"summary": "x"}'])
def test_a_damaged_card_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PluginError, match=r"x\.json: "):
        zoo_models(tmp_path)
