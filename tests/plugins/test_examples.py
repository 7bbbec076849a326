"""The examples of a model with classes and of one that translates, as users use them: copied, installed into another
environment, tested and trained there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ganzoo.interfaces.options import options_by_name

PLUGINS = Path(__file__).parents[2] / "plugins"
COMMON = ["--batch", 4, "--kimg", 0.008, "--device", "cpu"]
EXAMPLES = {
    "conditional-dcgan": (["--size", 16, "--latent", 8, "--width", 4], {"discriminator/real", "discriminator/fake"}),
    "cyclegan": (
        ["--size", 32, "--width", 2, "--blocks", 1, "--pool", 3],
        {"generators/cycle_a", "discriminators/fake_b"},
    ),
}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Return a model's name and a copy of its plugin, because building writes into its folder."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".pytest_cache")
    folder = PLUGINS / f"example-{request.param}"
    return request.param, Path(shutil.copytree(folder, tmp_path / "example", ignore=ignored))


def test_an_example_can_be_installed_and_tested_and_trained(
    virtualenv: Any, example: tuple[str, Path], domains: Path, tmp_path: Path
) -> None:
    name, folder = example
    virtualenv.install(folder)
    plugins = {row["name"]: row for row in json.loads(virtualenv.run("-m", "ganzoo", "plugins", "--json"))}
    assert plugins[name]["origin"] == f"example-{name} 0.1.0"
    assert plugins[name]["problems"] == []
    assert "1 passed" in virtualenv.run("-m", "pytest", "-p", "no:cacheprovider", folder / "tests")

    options, losses = EXAMPLES[name]
    arguments = [*options, *COMMON, "--data", domains, "--experiments", tmp_path / "experiments"]
    assert "finished: " in virtualenv.run("-m", "ganzoo", "train", name, *arguments)
    (run,) = (tmp_path / "experiments").iterdir()
    (tick,) = map(json.loads, (run / "stats.jsonl").read_text().splitlines())
    assert tick["step"] == 2
    assert losses < tick["losses"].keys()


def test_every_option_is_in_the_readme(example: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = example
    monkeypatch.syspath_prepend(folder)
    package = __import__(f"example_{name.replace('-', '_')}")
    (model,) = package.ganzoo_models()
    rows = {
        cells[1].strip(" `"): cells[2].strip()
        for cells in (line.split("|") for line in (folder / "README.md").read_text().splitlines() if "| `--" in line)
    }
    options = options_by_name(model.options)
    assert rows.keys() == {option.flag for option in options.values()}
    for option in options.values():
        assert float(rows[option.flag]) == option.default
