from __future__ import annotations

from pathlib import Path

import pluggy
import pytest

from ganzoo.data.catalog import open_data
from ganzoo.errors import DataError, PluginError
from ganzoo.interfaces.dataset import Dataset, DataSource
from ganzoo.registry.plugins import Plugin, Registry
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder

IMAGE = {"a.png": encoded(noise())}


class Source(DataSource):
    name = "numbers"
    summary = "numbers"

    def open(self) -> Dataset:
        return NumberedDataset(3)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    broken = Plugin("ganzoo_letters", "ganzoo_letters", "letters", "1.0", problems=["import failed: no font"])
    return Registry(pluggy.PluginManager("ganzoo"), plugins=[broken], datasets={"numbers": Source()})


def test_a_name_is_opened(registry: Registry) -> None:
    assert len(open_data("numbers", registry)) == 3


def test_a_path_is_opened(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "set", IMAGE)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name_or_path in ("set", "./set", str(tmp_path / "set"), "~/set"):
        assert open_data(name_or_path, registry).info.name == "set"


def test_a_name_takes_precedence_over_a_folder_of_that_name(registry: Registry, tmp_path: Path) -> None:
    write_folder(tmp_path / "numbers", IMAGE)
    assert len(open_data("numbers", registry)) == 3
    assert len(open_data("./numbers", registry)) == 1


def test_a_wrong_name_gets_a_near_match_and_a_list_of_the_names(registry: Registry) -> None:
    with pytest.raises(DataError, match=r"--data numbrs: .* Did you mean 'numbers'\? Data sets: numbers\."):
        open_data("numbrs", registry)


@pytest.mark.parametrize("name_or_path", ["", "x", "x" * 5000, "zero\0byte", "~nobody-of-this-name"])
def test_text_that_is_neither_a_name_nor_a_path_is_an_error(registry: Registry, name_or_path: str) -> None:
    with pytest.raises(DataError, match="neither a data set nor a path"):
        open_data(name_or_path, registry)


@pytest.mark.parametrize("name_or_path", ["set.zip", "folder/", "a/b"])
def test_a_path_that_does_not_exist_is_an_error(registry: Registry, name_or_path: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_data(name_or_path, registry)


def test_the_name_of_a_broken_plugin_gives_its_error(registry: Registry) -> None:
    with pytest.raises(PluginError, match="no font"):
        open_data("letters", registry)
