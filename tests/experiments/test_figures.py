"""The pictures of a model for the page of results."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from PIL import Image

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.interfaces.progress import Progress
from tests.cli.test_train_stages import NARROW
from tests.support import mean_colour

SCRIPT = Path(__file__).parents[2] / "experiments" / "results" / "figures.py"


@pytest.fixture
def script(jittor, monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("figures_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sizes(script: ModuleType, run: str) -> dict[str, tuple[int, int]]:
    """Draw the pictures of a run, and return their width and height by file name."""
    result = CliRunner().invoke(script.main, [run, "--name", "tiny", "--out", "figures"])
    assert result.exit_code == 0, result.output
    return {path.name: Image.open(path).size for path in Path("figures").iterdir()}


def test_a_style_based_model_has_a_walk_a_mixing_sheet_and_neighbours(script, ganzoo, domains):
    options = ["--data", str(domains), "--batch", "4", "--max-size", "8", "--init-size", "8", "--kimg", "0.004"]
    assert ganzoo("train", "stylegan", *options, *NARROW).exit_code == 0
    found = sizes(script, "latest")
    assert set(found) == {"tiny-walk.webp", "tiny-mixing.webp", "tiny-neighbours.webp"}
    assert found["tiny-neighbours.webp"] == (7 * 8 + 4, 8 * 8)
    with Image.open("figures/tiny-walk.webp") as walk:
        assert walk.n_frames == 3 * 8


def test_a_translator_has_validation_images_in_the_style_of_others(script, add_model, domains):
    add_model(mean_colour.MeanColourModel())
    data = dataclasses.replace(mean_colour.INFO, name="pictures", count=18, domains=("one", "two"))
    tensors = {f"{name}/colours": mean_colour.COLOURS for name in ("net/colours", "ema/colours", "net/critic")}
    described = RunDescription("mean-colour", {}, {"data": "pictures"}, data, str(domains))
    checkpoint.write(Path("model.safetensors"), tensors, described, StateMetadata(Progress(), ema=("colours",)))
    ((name, (width, height)),) = sizes(script, "model.safetensors").items()
    assert name == "tiny-references.webp"
    assert width > 4 * 8  # 2 sources of each domain
    assert height > 5 * 8  # sources, and 2 references of each domain


def test_a_wrong_name_is_one_line(script):
    result = CliRunner().invoke(script.main, ["zoo:nothing", "--out", "figures"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "nothing" in result.output
