"""Trained models that plugins register: faulty ones are skipped and reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.errors import OptionError
from ganzoo.registry import plugins
from tests.support import zoo


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a plugin with the valid entry `good`, and return its folder of entries."""
    folder = zoo.install(tmp_path / "site", monkeypatch)
    (tmp_path / "any").write_bytes(b"weights")
    zoo.write_entry(folder, "good", tmp_path / "any")
    return folder


def problems(registry: plugins.Registry) -> list[str]:
    return next(plugin for plugin in registry.plugins if plugin.name == "tiny_zoo").problems


def test_an_entry_is_registered_with_its_plugin(weights: Path) -> None:
    registry = plugins.load()
    assert registry.zoo_model("good").file == weights / "good.safetensors"
    assert registry.plugin_of("zoo_models", "good").origin == "tiny-zoo 1.5"
    assert registry.plugin_of("zoo_models", "bad") is None
    assert problems(registry) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"summary": "two\nlines"}, "its summary is 'two\\nlines', but must be one line of text"),
        ({"summary": 3}, "its summary is 3"),
        ({"license": ""}, "its license is '', but must be one line of text"),
        ({"recipe": ["x"]}, "its recipe is ['x'], but must be one line of text"),
        ({"sha256": "A" * 64}, "must be 64 hexadecimal digits in lower case"),
        ({"metrics": {"fid": "low"}}, "its metrics are {'fid': 'low'}, but must map names to numbers"),
        ({"metrics": 3}, "its metrics are 3"),
    ],
)
def test_a_faulty_card_is_reported(weights: Path, tmp_path: Path, changed: dict, problem: str) -> None:
    zoo.write_entry(weights, "bad", tmp_path / "any", **changed)
    registry = plugins.load()
    assert "good" in registry.zoo_models
    assert "bad" not in registry.zoo_models
    (found,) = problems(registry)
    assert "'bad'" in found
    assert problem in found


def test_a_path_that_is_text_is_reported(weights: Path) -> None:
    code = "import ganzoo\n@ganzoo.hookimpl\ndef ganzoo_zoo_models():\n    return [ganzoo.ZooModel('bad', 's', 'x', "
    code += f"'{'0' * 64}', 'MIT', 'CC0', 'r', 'u', {{}})]\n"
    (weights.parent / "__init__.py").write_text(code)
    assert "zoo model 'bad': its file is 'x', but must be a Path" in problems(plugins.load())


def test_a_missing_checkpoint_is_reported(weights: Path) -> None:
    (weights / "good.safetensors").unlink()
    registry = plugins.load()
    assert "good" not in registry.zoo_models
    assert "is missing; is it among the package data?" in problems(registry)[0]


def test_a_card_without_an_entry_is_reported(weights: Path, tmp_path: Path) -> None:
    zoo.write_entry(weights, "bad", tmp_path / "any", license=None)
    assert "bad.json: 'license' is missing" in problems(plugins.load())[0]


def test_an_unknown_name_lists_those_there_are(weights: Path) -> None:
    registry = plugins.load()
    with pytest.raises(
        OptionError, match=r"no model of the zoo is called 'goof'. Did you mean 'good'\?.*Available: .*good"
    ):
        registry.zoo_model("goof")
    with pytest.raises(OptionError, match=r"no model of the zoo is called 'xyz'. Available: .*good"):
        registry.zoo_model("xyz")
