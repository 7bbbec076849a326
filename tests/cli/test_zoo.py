"""`ganzoo zoo`, and zoo:NAME in place of a run."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as gz
from ganzoo.checkpoints import checkpoint
from ganzoo.errors import CheckpointError, OptionError
from tests.support import mean_colour, zoo


@pytest.fixture
def weights(ganzoo, trained, tmp_path, monkeypatch) -> Path:
    """Install a plugin that brings the trained run as zoo:tiny, and return its folder of entries."""
    assert ganzoo("export", "--out", "tiny.safetensors").exit_code == 0
    folder = zoo.install(tmp_path / "site", monkeypatch)
    zoo.write_entry(folder, "tiny", Path("tiny.safetensors"))
    return folder


def test_the_list_has_a_line_for_each_trained_model(ganzoo, weights):
    lines = ganzoo("zoo").stdout.splitlines()
    assert lines[0].split() == ["name", "model", "px", "data", "MB", "metric"]
    (line,) = (each for each in lines if each.startswith("tiny "))
    size = f"{(weights / 'tiny.safetensors').stat().st_size / 1e6:.1f}"
    assert line.split() == ["tiny", "gan", "8", "pictures", size, "fid1k-real1k-simple", "12.35"]


@pytest.mark.parametrize("name", ["tiny", "zoo:tiny"])
def test_a_card_shows_what_the_checkpoint_says(ganzoo, weights, name):
    text = ganzoo("zoo", name).stdout
    assert text.startswith("tiny: Noise.\n")
    for line in (
        "gan, 8 px, RGB",
        "0.016 kimg",
        "data licence  CC0",
        "ganzoo generate zoo:tiny",
        "batch 4",
        "latent 100",
    ):
        assert line in text
    known = json.loads(ganzoo("zoo", name, "--json").stdout)
    assert (known["model"], known["size"], known["kimg"], known["options"]["batch"]) == ("gan", 8, 0.016, 4)
    assert known in json.loads(ganzoo("zoo", "--json").stdout)


def test_an_unreadable_file_does_not_hide_the_others(ganzoo, weights):
    zoo.write_entry(weights, "broken", Path(__file__))
    lines = {line.split()[0]: line for line in ganzoo("zoo").stdout.splitlines()}
    assert "problem: " in lines["broken"]
    assert "not an intact checkpoint" in lines["broken"]
    assert "12.35" in lines["tiny"]
    assert ganzoo("zoo", "broken").exit_code == 1


def test_an_unknown_name_lists_those_there_are(ganzoo, weights):
    for command in (["zoo", "tinny"], ["generate", "zoo:tinny"], ["evaluate", "zoo:tinny"]):
        result = ganzoo(*command)
        assert result.exit_code == 2
        assert "no model of the zoo is called 'tinny'. Did you mean 'tiny'?" in result.stderr
        assert "Available: " in result.stderr


def test_a_trained_model_generates_evaluates_and_exports_like_its_run(ganzoo, trained, weights, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # offline
    before = sorted(weights.rglob("*"))
    for name in (str(trained), "zoo:tiny"):
        result = ganzoo("generate", name, "--seeds", "0-3")
        assert result.exit_code == 0, result.output
    ours, theirs = (folder / "generated" for folder in (Path("experiments/zoo/tiny"), trained))
    assert len(list(ours.iterdir())) == 5
    for path in theirs.iterdir():
        assert (np.asarray(Image.open(ours / path.name)) == np.asarray(Image.open(path))).all()
    assert ganzoo("generate", "zoo:tiny", "--interpolate", "--seeds", "0,1", "--grid", "1x1").exit_code == 0
    assert (ours / "interpolation.gif").exists()
    assert ganzoo("evaluate", "zoo:tiny", "--against", "pictures", "--metrics", "fid", "--quick").exit_code == 0
    assert Path("experiments/zoo/tiny/evaluations.md").exists()
    assert ganzoo("export", "zoo:tiny", "--out", "again.safetensors").exit_code == 0
    assert checkpoint.read(Path("again.safetensors")).run == checkpoint.read(weights / "tiny.safetensors").run
    assert sorted(weights.rglob("*")) == before  # the package may be read-only


def test_evaluating_first_makes_the_folder_of_results(ganzoo, weights):
    result = ganzoo("evaluate", "zoo:tiny", "--against", "pictures", "--metrics", "fid", "--quick")
    assert result.exit_code == 0, result.output
    assert Path("experiments/zoo/tiny/evaluations.jsonl").exists()


def test_it_is_loaded_in_python(ganzoo, trained, weights):
    (weights / "tiny.png").write_bytes(Path("pictures/00.png").read_bytes())
    run = gz.load("zoo:tiny")
    assert (run.generate(range(4)) == gz.load(trained).generate(range(4))).all()
    assert (run.model, run.path) == ("gan", Path("experiments/zoo/tiny"))
    assert 'alt="tiny"' in run._repr_html_()
    with pytest.raises(OptionError, match="no model of the zoo is called 'other'"):
        gz.load("zoo:other")


def test_a_translator_of_the_zoo_translates(ganzoo, jittor, tmp_path, weights, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(Path("model.safetensors"))
    zoo.write_entry(weights, "colours", Path("model.safetensors"))
    Image.new("RGB", (8, 8), (200, 100, 50)).save("source.png")
    result = ganzoo("generate", "zoo:colours", "--source", "source.png", "--seeds", "0-1")
    assert result.exit_code == 0, result.output
    assert len(list(Path("experiments/zoo/colours/generated").glob("source-*.png"))) == 6
    assert gz.load("zoo:colours").translate("source.png", domain="cat", seeds=0).shape == (1, 8, 8, 3)


def test_an_altered_file_is_refused(ganzoo, weights):
    path = weights / "tiny.safetensors"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        result = ganzoo("generate", "zoo:tiny")
        assert result.exit_code == 1
        assert "zoo:tiny: " in result.stderr
        found, expected = (hashlib.sha256(each).hexdigest()[:16] for each in (damaged, content))
        assert f"its SHA-256 is {found}..., not {expected}... Reinstall tiny-zoo" in result.stderr
        with pytest.raises(CheckpointError, match="was truncated or altered"):
            gz.load("zoo:tiny")
    assert not Path("experiments/zoo").exists()


def test_another_checkpoint_in_its_place_is_refused(ganzoo, trained, weights):
    (weights / "tiny.safetensors").write_bytes(checkpoint.newest(trained).read_bytes())
    assert "was truncated or altered" in ganzoo("generate", "zoo:tiny").stderr


def test_training_cannot_be_resumed_from_it(ganzoo, weights):
    result = ganzoo("train", "gan", "--resume", "zoo:tiny")
    assert result.exit_code == 1
    assert "--resume zoo:tiny: this file lacks what resuming needs. Start a new run with --from." in result.stderr


def test_no_plugin_may_bring_a_trained_model(ganzoo, monkeypatch):
    monkeypatch.setenv("GANZOO_PLUGINS", "metrics")
    assert ganzoo("zoo").stdout == "no plugin brings a trained model\n"
    assert ganzoo("zoo", "--json").stdout == "[]\n"
