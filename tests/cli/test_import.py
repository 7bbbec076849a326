"""`ganzoo import`: files of other programs are sampled and trained further, and invalid files are refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint, unpickling
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.reference import needs_torch, relative_error, stargan2_port
from tests.support.reference.stylegan_port import ReferenceFiles

pytestmark = pytest.mark.usefixtures("jittor")

RUN = Path("experiments/00000-stylegan-step")
STARGAN2_RUN = Path("experiments/00000-stargan2-000002_nets")


@pytest.fixture(scope="module")
def files(jittor, tmp_path_factory) -> ReferenceFiles:
    """Make checkpoint files of the PyTorch port of StyleGAN."""
    return ReferenceFiles(tmp_path_factory.mktemp("files"), 16)


@pytest.fixture(scope="module")
def stargan2_files(jittor, tmp_path_factory) -> stargan2_port.ReferenceFiles:
    """Make checkpoint files of the reference implementation of StarGAN v2."""
    return stargan2_port.ReferenceFiles(tmp_path_factory.mktemp("stargan2"))


def write_domains(folder: Path, *domains: str) -> None:
    """Write three images for each domain."""
    rng = np.random.default_rng(0)
    for domain in domains:
        (folder / domain).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / domain / f"{index}.png")


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


@needs_torch
@pytest.mark.parametrize("name", ["ema-zip", "ema-legacy"])
def test_an_imported_generator_gives_the_images_of_the_reference(ganzoo, files, name):
    result = ganzoo("import", "stylegan", str(files.path(name)))
    assert result.exit_code == 0, result.output
    run = Path(f"experiments/00000-stylegan-{name}")
    assert relative_error(files.images(run), files.expected["images"]) < 1e-4
    assert result.stdout.splitlines()[0] == "RGB images of 16 px"
    assert "no optimizer state" in result.stdout
    assert "discriminator: not in the file; initialised randomly" in result.stdout
    assert f"imported: {run}" in result.stdout
    assert f"ganzoo generate {run.name}\n" in result.stdout


@needs_torch
def test_an_imported_run_can_be_sampled(ganzoo, files):
    assert ganzoo("import", "stylegan", str(files.path("step")), "--experiments", "mine").exit_code == 0
    result = ganzoo("generate", RUN.name, "--experiments", "mine", "--seeds", "3", "--psi", "1")
    assert result.exit_code == 0, result.output
    with Image.open(Path("mine", RUN.name, "generated", "seed0003.png")) as image:
        assert image.size == (16, 16)
    assert "stopped" in ganzoo("runs", "--experiments", "mine").stdout


@needs_torch
def test_training_continues_with_the_next_resolution(ganzoo, files, pictures):
    result = ganzoo("import", "stylegan", str(files.path("step")), "--max-size", "32", "--phase", "0.008")
    assert result.exit_code == 0, result.output
    assert "RGB images of 16 px, can grow to 32 px" in result.stdout
    assert "Adam's moments after 2 updates" in result.stdout
    before = checkpoint.read(RUN / checkpoint.file_name(0))
    short = ["--data", "pictures", "--kimg", "0.012", "--tick", "0.004", "--batch", "4"]
    result = ganzoo("train", "stylegan", "--resume", RUN.name, *short)
    assert result.exit_code == 0, result.output
    assert [(row["size"], row["alpha"]) for row in rows(RUN)] == [(32, 0.0), (32, 0.625), (32, 1.0)]
    after = checkpoint.read(checkpoint.newest(RUN))
    assert after.metadata.progress.images == 12
    steps = after.metadata.optimizer_steps["generator"]
    assert steps["synthesis.blocks.0.conv2.weight"] == 2 + 3
    assert steps["synthesis.blocks.3.conv2.weight"] == 3
    change = np.abs(
        after.tensors["net/generator/synthesis.blocks.0.conv2.weight"]
        - before.tensors["net/generator/synthesis.blocks.0.conv2.weight"]
    )
    assert 0 < change.max() < 0.01


@needs_torch
def test_training_stays_at_the_last_resolution(ganzoo, files, pictures):
    assert ganzoo("import", "stylegan", str(files.path("ema-zip"))).exit_code == 0
    short = ["--data", "pictures", "--kimg", "0.008", "--tick", "0.004", "--batch", "4"]
    result = ganzoo("train", "stylegan", "--resume", "latest", *short)
    assert result.exit_code == 0, result.output
    assert [(row["size"], row["alpha"]) for row in rows(Path("experiments/00000-stylegan-ema-zip"))] == [(16, 1.0)] * 2


@needs_torch
def test_the_log_of_an_import_records_that_it_finished(ganzoo, files, pictures):
    assert ganzoo("import", "stylegan", str(files.path("ema-zip"))).exit_code == 0
    result = ganzoo("train", "stylegan", "--resume", "0", "--data", "pictures", "--kimg", "0.004", "--batch", "4")
    assert result.exit_code == 0, result.output
    assert "ended unexpectedly" not in result.output
    log = Path("experiments/00000-stylegan-ema-zip/log.txt").read_text()
    assert f"import of {files.path('ema-zip')} finished\n" in log
    assert "killed" not in log


@needs_torch
def test_an_imported_run_is_not_trained_before_its_data_are_named(ganzoo, files, pictures):
    assert ganzoo("import", "stylegan", str(files.path("ema-zip"))).exit_code == 0
    short = ["--kimg", "0.004", "--batch", "4"]
    for extra in ([], ["--dry-run"]):
        result = ganzoo("train", "stylegan", "--resume", "latest", *short, *extra)
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        message = "00000-stylegan-ema-zip was imported, and its file doesn't say which data"
        assert line.startswith(f"Error: --data: {message}")
    assert not Path("data").exists()  # `symbols`, the model's default, was not prepared
    result = ganzoo("evaluate", "--metrics", "kid", "--samples", "2")
    assert result.exit_code == 2
    assert "it doesn't record its training data. Name real images with --against." in result.stderr
    Path("set.toml").write_text('data = "pictures"\n')
    assert ganzoo("train", "stylegan", "--resume", "latest", *short, "--preset", "set.toml").exit_code == 0
    assert (
        ganzoo("train", "stylegan", "--resume", "latest", "--kimg", "0.008").exit_code == 0
    )  # uses the data named in the previous session


@needs_torch
def test_an_imported_translator_translates_images(ganzoo, workdir, stargan2_files):
    write_domains(workdir / "animals", "cat", "dog")
    result = ganzoo("import", "stargan2", str(stargan2_files.path("nets_ema")), "--domains", "cat, dog,wild")
    assert result.exit_code == 0, result.output
    assert "000002_nets.ckpt: also read" in result.stdout
    assert "domains: cat, dog, wild" in result.stdout
    run = Path("experiments/00000-stargan2-000002_nets_ema")
    assert f"Sample it with: ganzoo generate {run.name} --source IMAGE\n" in result.stdout
    result = ganzoo("generate", run.name, "--source", "animals/cat/0.png", "--domain", "dog", "--seeds", "4")
    assert result.exit_code == 0, result.output
    with Image.open(run / "generated/0-dog-seed0004.png") as image:
        assert image.size == (64, 64)
        assert np.asarray(image).std() > 5
    result = ganzoo("generate", run.name, "--source", "animals/cat/0.png", "--reference", "animals/dog")
    assert result.exit_code == 0, result.output
    result = ganzoo("generate", run.name, "--source", "animals/cat", "--domain", "fox")
    assert result.exit_code == 2
    assert "cat, dog, wild" in result.stderr


@needs_torch
def test_an_imported_translator_is_not_trained_on_other_domains(ganzoo, workdir, stargan2_files):
    write_domains(workdir / "animals", "cat", "dog", "wild")
    write_domains(workdir / "others", "cat", "dog", "fox")
    named = ("--domains", "cat,dog,wild", "--ds-iter", "8")
    assert ganzoo("import", "stargan2", str(stargan2_files.path("nets")), *named).exit_code == 0
    before = checkpoint.read(checkpoint.newest(STARGAN2_RUN))
    short = ["--kimg", "0.008", "--tick", "0.008", "--snapshot", "1"]
    result = ganzoo("train", "stargan2", "--resume", STARGAN2_RUN.name, "--data", "./others", *short)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "the run was trained on the domains cat, dog, wild, but the data has cat, dog, fox" in line
    result = ganzoo("train", "stargan2", "--resume", STARGAN2_RUN.name, "--data", "./animals", *short)
    assert result.exit_code == 0, result.output
    assert [row["watched"]["G-latent/lambda_ds"] for row in rows(STARGAN2_RUN)] == [0.75]
    after = checkpoint.read(checkpoint.newest(STARGAN2_RUN))
    assert (after.metadata.progress.step, after.metadata.progress.images) == (3, 8)
    assert {name: max(steps.values()) for name, steps in after.metadata.optimizer_steps.items()} == {
        "generator": 6,
        "mapping": 3,
        "encoder": 3,
        "discriminator": 6,
    }
    name = "net/encoder/shared.0.weight"
    assert 0 < np.abs(after.tensors[name] - before.tensors[name]).max() < 1e-3


@needs_torch
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--domains", "cat,dog", "--domains cat,dog: 2 names given, but the file has 3."),
        ("--domains", "cat,dog,dog", "--domains cat,dog,dog: 'dog' is given twice."),
        ("--domains", "cat,,dog", "--domains cat,,dog: name 2 is empty."),
        ("--domains", "", "--domains : name 1 is empty."),
        ("--size", "128", "--size: 128, but it is 64 in the file."),
    ],
)
def test_an_option_that_does_not_fit_a_translator_is_a_usage_error(ganzoo, stargan2_files, option, value, message):
    result = ganzoo("import", "stargan2", str(stargan2_files.path("nets_ema")), option, value)
    assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")
    assert not Path("experiments").exists()


def test_help_explains_the_order_of_domains(ganzoo):
    text = " ".join(ganzoo("import", "stargan2", "--help").stdout.split())
    assert "--domains" in text
    assert "in the order of training, the sorted order of their folder names" in text
    assert "--domains" not in ganzoo("import", "stylegan", "--help").stdout


class Hostile:
    def __reduce__(self):
        return os.system, ("touch was-run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"g_running": Hostile()}), "system"),
        (b"Dear reader,\nthis is a letter.\n", "not a file of PyTorch or Jittor"),
        (b"", "not a file of PyTorch or Jittor"),
        (
            pickle.dumps({"weight": np.ones((2, 3), np.float32), "bias": np.ones(2, np.float32)}),
            "does not belong to StyleGAN's",
        ),
        (pickle.dumps([1, 2, 3]), "no weights by name"),
        (b"\x89PNG\r\n\x1a\n", "an image, not weights"),
        (b"cdnnlib.tflib.network\nNetwork\n.", "The --help of this command lists the files that can be read"),
    ],
    ids=["hostile", "text", "empty", "another network", "no network", "image", "NVIDIA pickle"],
)
def test_a_file_that_is_not_a_checkpoint_is_reported_in_one_line(ganzoo, workdir, content, message):
    Path("given.model").write_bytes(content)
    result = ganzoo("import", "stylegan", "given.model")
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: given.model: ")
    assert message in line
    assert sorted(path.name for path in workdir.iterdir()) == ["given.model"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"generator": Hostile()}, "system"),
        ({"weight": np.ones((2, 3), np.float32)}, "it holds no 'generator', unlike StarGAN v2's checkpoints."),
    ],
    ids=["hostile", "another network"],
)
def test_a_file_without_a_translator_is_reported_in_one_line(ganzoo, workdir, content, message):
    Path("000001_nets.ckpt").write_bytes(pickle.dumps(content))
    result = ganzoo("import", "stargan2", "000001_nets.ckpt")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: 000001_nets.ckpt: ")
    assert message in line
    assert [path.name for path in workdir.iterdir()] == ["000001_nets.ckpt"]


@needs_torch
def test_a_pytorch_file_of_another_network_is_an_error(ganzoo, files):
    result = ganzoo("import", "stylegan", str(files.path("other")))
    assert result.exit_code == 1
    assert "does not belong to StyleGAN's generator: it holds 'weight'" in " ".join(result.stderr.split())
    assert unpickling.safe_load(files.path("other")).keys() == {"weight", "bias"}


@pytest.mark.parametrize("model", ["stylegan", "stargan2"])
def test_a_checkpoint_of_ganzoo_itself_gets_a_hint_to_the_right_command(ganzoo, pictures, model):
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    path = str(checkpoint.newest(Path("experiments/00000-gan-pictures")))
    result = ganzoo("import", model, path)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {path}: a checkpoint of ganzoo itself, which needs no import. `ganzoo generate`")


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


def test_an_unknown_model_gets_a_hint_to_the_nearest_name(ganzoo):
    result = ganzoo("import", "stylgan", "given.model")
    assert result.exit_code == 2
    assert "no model is called 'stylgan'. Did you mean 'stylegan'?" in result.stderr


def test_the_error_for_a_model_that_cannot_import_names_those_that_can(ganzoo):
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
