"""`ganzoo import`: from a file of another program to images and further training; files that are none."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import unpickling
from ganzoo.training import checkpoint
from tests.reference import error, needs_torch
from tests.reference.port import Files

pytestmark = pytest.mark.usefixtures("jittor")

RUN = Path("experiments/00000-stylegan-step")


@pytest.fixture(scope="module")
def files(jittor, tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("files"), 16)


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


@needs_torch
@pytest.mark.parametrize("name", ["ema-zip", "ema-legacy"])
def test_an_imported_file_makes_the_images_of_the_reference(ganzoo, files, name):
    result = ganzoo("import", "stylegan", str(files.path(name)))
    assert result.exit_code == 0, result.output
    run = Path(f"experiments/00000-stylegan-{name}")
    assert error(files.images(run), files.expected["images"]) < 1e-4
    assert result.stdout.splitlines()[0] == "RGB images of 16 px"
    assert "no optimizer state" in result.stdout
    assert "discriminator: not in the file, begins afresh" in result.stdout
    assert f"imported: {run}" in result.stdout
    assert f"ganzoo generate {run.name}\n" in result.stdout


@needs_torch
def test_an_import_can_be_sampled(ganzoo, files):
    assert ganzoo("import", "stylegan", str(files.path("step")), "--experiments", "mine").exit_code == 0
    result = ganzoo("generate", RUN.name, "--experiments", "mine", "--seeds", "3", "--psi", "1")
    assert result.exit_code == 0, result.output
    with Image.open(Path("mine", RUN.name, "generated", "seed0003.png")) as image:
        assert image.size == (16, 16)
    assert "stopped" in ganzoo("runs", "--experiments", "mine").stdout


@needs_torch
def test_training_goes_on_with_the_next_resolution(ganzoo, files, pictures):
    result = ganzoo("import", "stylegan", str(files.path("step")), "--max-size", "32", "--phase", "0.008")
    assert result.exit_code == 0, result.output
    assert "RGB images of 16 px, and on to 32 px" in result.stdout
    assert "Adam's moments after 2 updates" in result.stdout
    before = checkpoint.read(RUN / checkpoint.name_at(0))
    short = ["--data", "pictures", "--kimg", "0.012", "--tick", "0.004", "--batch", "4"]
    result = ganzoo("train", "stylegan", "--resume", RUN.name, *short)
    assert result.exit_code == 0, result.output
    assert [(row["size"], row["alpha"]) for row in rows(RUN)] == [(32, 0.0), (32, 0.625), (32, 1.0)]
    after = checkpoint.read(checkpoint.newest(RUN))
    assert after.metadata["progress"]["images"] == 12
    steps = after.metadata["optimizer_steps"]["generator"]
    assert steps["synthesis.blocks.0.conv2.weight"] == 2 + 3
    assert steps["synthesis.blocks.3.conv2.weight"] == 3
    moved = np.abs(
        after.tensors["net/generator/synthesis.blocks.0.conv2.weight"]
        - before.tensors["net/generator/synthesis.blocks.0.conv2.weight"]
    )
    assert 0 < moved.max() < 0.01


@needs_torch
def test_training_stays_at_the_last_resolution(ganzoo, files, pictures):
    assert ganzoo("import", "stylegan", str(files.path("ema-zip"))).exit_code == 0
    short = ["--data", "pictures", "--kimg", "0.008", "--tick", "0.004", "--batch", "4"]
    result = ganzoo("train", "stylegan", "--resume", "latest", *short)
    assert result.exit_code == 0, result.output
    assert [(row["size"], row["alpha"]) for row in rows(Path("experiments/00000-stylegan-ema-zip"))] == [(16, 1.0)] * 2


class Hostile:
    def __reduce__(self):
        return os.system, ("touch was-run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"g_running": Hostile()}), "system"),
        (b"Dear reader,\nthis is a letter.\n", "not a file of PyTorch or Jittor"),
        (b"", "not a file of PyTorch or Jittor"),
        (pickle.dumps({"weight": np.ones((2, 3), np.float32), "bias": np.ones(2, np.float32)}), "of another network"),
        (pickle.dumps([1, 2, 3]), "no weights by name"),
    ],
    ids=["hostile", "text", "empty", "another network", "no network"],
)
def test_a_file_that_is_none_is_an_error_of_one_line(ganzoo, workdir, content, message):
    Path("given.model").write_bytes(content)
    result = ganzoo("import", "stylegan", "given.model")
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: given.model: ")
    assert message in line
    assert sorted(path.name for path in workdir.iterdir()) == ["given.model"]


@needs_torch
def test_a_file_of_another_network_of_pytorch_is_an_error(ganzoo, files):
    result = ganzoo("import", "stylegan", str(files.path("other")))
    assert result.exit_code == 1
    assert "of another network than StyleGAN's generator: it holds 'weight'" in " ".join(result.stderr.split())
    assert unpickling.safe_load(files.path("other")).keys() == {"weight", "bias"}


def test_a_missing_file_is_named(ganzoo):
    result = ganzoo("import", "stylegan", "nowhere.model")
    assert result.exit_code == 1
    assert result.stderr == "Error: nowhere.model: there is no such file.\n"


@needs_torch
def test_a_wrong_option_is_a_usage_error(ganzoo, files):
    result = ganzoo("import", "stylegan", str(files.path("step")), "--latent", "64")
    assert result.exit_code == 2
    assert result.stderr == "Error: --latent: 64, but it is 8 in the file.\n"
    assert not Path("experiments").exists()


def test_an_unknown_model_is_answered_with_the_nearest(ganzoo):
    result = ganzoo("import", "stylgan", "given.model")
    assert result.exit_code == 2
    assert "no model is called 'stylgan'. Did you mean 'stylegan'?" in result.stderr


def test_a_model_that_can_not_import_names_those_that_can(ganzoo):
    result = ganzoo("import", "lsgan", "given.model")
    assert result.exit_code == 2
    assert "lsgan can't import checkpoints of other programs; models that can: " in result.stderr
    assert "stylegan" in result.stderr


def test_help_lists_the_models_that_can_import(ganzoo):
    result = ganzoo("import", "--help")
    assert result.exit_code == 0
    assert "stylegan" in result.stdout
    assert "lsgan" not in result.stdout
    assert "--max-size" in ganzoo("import", "stylegan", "--help").stdout
