"""The script that makes entries of the zoo, and the page that it writes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.checkpoints.zoo import sha256_of
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.zoo import ZooModel, zoo_models
from ganzoo.registry import plugins
from tests.support import mean_colour

SCRIPT = Path(__file__).parents[2] / "experiments" / "zoo.py"
TEXTS = ["--summary", "Noise.", "--data-license", "CC0"]
FEW = ["--samples", "20", "--real", "12", "--folder", "weights"]


@pytest.fixture
def script(jittor) -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(script, workdir, monkeypatch) -> Callable[..., ZooModel]:
    """Return a function that runs the script for an entry `tiny`, and returns the entry."""
    monkeypatch.setattr(script, "PAGE", workdir / "zoo.md")
    script.PAGE.write_text("# Zoo\n\n<!-- entries -->\n<!-- end -->\n")

    def make(run: str, *arguments: str) -> ZooModel:
        monkeypatch.setattr(sys, "argv", ["zoo.py", run, "tiny", *FEW, *arguments])
        script.main()
        (entry,) = zoo_models(Path("weights"))
        return entry

    return make


def test_the_page_is_what_the_script_writes(script):
    page = script.PAGE.read_text()
    assert page == script.fill_in(page, script.PAGE.parent, plugins.load()), "run `python experiments/zoo.py RUN NAME`"


def test_an_entry_is_made_from_a_run_and_replaced_by_another(make, ganzoo, trained):
    entry = make("latest", *TEXTS)
    assert (entry.name, entry.summary, entry.license, entry.data_license) == ("tiny", "Noise.", "MIT", "CC0")
    assert entry.sha256 == sha256_of(entry.file)
    saved = checkpoint.read(entry.file)
    assert {value.dtype for value in saved.tensors.values()} == {np.dtype(np.float16)}
    assert {name.split("-")[0] for name in entry.metrics} == {"fid20", "kid20", "kid_std20", "precision20", "recall20"}
    assert all(name.endswith("-real12-efficientnet-lite0") for name in entry.metrics)
    assert entry.usage == "ganzoo generate zoo:tiny --seeds 0-95 --grid 8x12"
    with Image.open(entry.picture) as picture:
        assert picture.width > picture.height > 8 * 8
    assert entry.recipe == "ganzoo train gan --data pictures --kimg 0.016 --batch 4 --size 8"
    assert ganzoo(*shlex.split(entry.recipe)[1:], "--dry-run").exit_code == 0

    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.024").exit_code == 0
    other = make("latest", "--license", "CC0", "--recipe", "ganzoo train gan && ganzoo train gan --resume latest")
    assert (other.summary, other.data_license, other.license) == ("Noise.", "CC0", "CC0")
    assert other.recipe == "ganzoo train gan && ganzoo train gan --resume latest"
    assert other.sha256 == sha256_of(other.file) != entry.sha256


def test_a_new_entry_needs_its_texts(make, trained):
    with pytest.raises(SystemExit, match="Error: --summary: needed for a new entry"):
        make("latest", "--data-license", "CC0")
    assert not Path("weights").exists()


def test_too_large_a_file_is_refused(make, script, trained, monkeypatch):
    monkeypatch.setattr(script, "MAX_BYTES", 1000)
    with pytest.raises(SystemExit, match=r"tiny: its file would have .* but at most 1 kB are allowed"):
        make("latest", *TEXTS)
    assert not Path("weights").exists()


def test_the_sheet_of_a_translator_shows_validation_images(make, add_model, domains):
    add_model(mean_colour.MeanColourModel())
    data = dataclasses.replace(mean_colour.INFO, name="pictures", count=18, domains=("one", "two"))
    names = ("net/colours", "ema/colours", "net/critic")
    tensors = {f"{name}/colours": mean_colour.COLOURS for name in names}
    described = RunDescription("mean-colour", {}, {"data": "pictures"}, data, str(domains))
    checkpoint.write(Path("model.safetensors"), tensors, described, StateMetadata(Progress(), ema=("colours",)))
    entry = make("model.safetensors", *TEXTS)
    assert entry.usage == "ganzoo generate zoo:tiny --source my-images --seeds 0-3"
    assert {name.partition("-")[0] for name in entry.metrics} >= {"fid20", "lpips20"}
    assert {name.split("-")[2] for name in entry.metrics} == {"latent", "reference"}
    with Image.open(entry.picture) as picture:
        assert picture.height > 9 * 8  # sources, and 8 styles
    assert "pictures" in json.dumps(checkpoint.read(entry.file).run.to_json())
    assert str(domains) not in json.dumps(checkpoint.read(entry.file).run.to_json())
