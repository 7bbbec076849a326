"""Training a translation model through the command line: stargan2 with the smallest networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint

pytestmark = pytest.mark.usefixtures("jittor")

NARROW = ["--channels-base", "512", "--channels-max", "8", "--hidden", "8", "--style", "8", "--latent", "4"]
TRAIN = ["train", "stargan2", "--data", "./animals", *NARROW, "--batch", "8", "--tick", "0.008", "--snapshot", "1"]
RUN = Path("experiments/00000-stargan2-animals")
SHEETS = ("cycle", "reference", "latent-psi0.5", "latent-psi0.7", "latent-psi1.0")


def write_domains(folder: Path, domains: tuple[str, ...], count: int) -> None:
    rng = np.random.default_rng(len(folder.parts))
    for domain in domains:
        (folder / domain).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / domain / f"{index}.png")


@pytest.fixture
def animals(workdir: Path) -> Path:
    """Return a folder of noise images, laid out like AFHQ."""
    write_domains(workdir / "animals" / "train", ("cat", "dog", "wild"), 3)
    write_domains(workdir / "animals" / "val", ("cat", "dog", "wild"), 2)
    return workdir / "animals"


def rows(run: Path = RUN) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_folder_laid_out_like_afhq_can_be_trained_on(ganzoo, animals):
    result = ganzoo(*TRAIN, "--kimg", "0.016")
    assert result.exit_code == 0, result.output
    assert json.loads((RUN / "options.json").read_text())["data"]["domains"] == ["cat", "dog", "wild"]
    for images in (8, 16):
        for sheet in SHEETS:
            picture = np.asarray(Image.open(RUN / f"samples-{images:09d}-{sheet}.png"))
            assert picture.std() > 10, "the sheet is blank"
    first, second = rows()
    assert first["watched"]["G-latent/lambda_ds"] == 1
    assert first["watched"].keys() >= {"G-latent/fake_min", "G-latent/fake_max", "D-latent/gradient_norm/discriminator"}
    assert second["watched"]["G-latent/lambda_ds"] == pytest.approx(1 - 1e-5)
    assert (RUN / "losses.png").exists()


def test_sheets_show_validation_images(ganzoo, animals):
    for path in (animals / "val").rglob("*.png"):
        Image.new("RGB", (40, 40), (255, 0, 0)).save(path)
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    sheet = np.asarray(Image.open(RUN / "samples-000000008-cycle.png"))
    assert (sheet[20:40, -40:-20] == (255, 0, 0)).all(), "the last source"


def test_a_resumed_run_equals_an_uninterrupted_one(ganzoo, animals):
    assert ganzoo(*TRAIN, "--ds-iter", "4", "--kimg", "0.016").exit_code == 0
    assert ganzoo("train", "stargan2", "--resume", "0", "--kimg", "0.024").exit_code == 0
    assert ganzoo(*TRAIN, "--ds-iter", "4", "--kimg", "0.024").exit_code == 0
    other = RUN.with_name("00001-stargan2-animals")
    resumed, uninterrupted = (checkpoint.read(checkpoint.newest(run)) for run in (RUN, other))
    for name, value in uninterrupted.tensors.items():
        assert np.array_equal(resumed.tensors[name], value), name
    assert [row["watched"]["G-reference/lambda_ds"] for row in rows()] == [1, 0.75, 0.5]
    assert [row["losses"] for row in rows()] == [row["losses"] for row in rows(other)]


def test_a_run_is_not_resumed_with_other_domains(ganzoo, animals, workdir):
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    write_domains(workdir / "others", ("cat", "fox"), 2)
    result = ganzoo("train", "stargan2", "--resume", "0", "--data", "./others", "--kimg", "0.016")
    assert result.exit_code == 2
    assert "the run was trained on the domains cat, dog, wild, but the data has cat, fox" in result.output


def test_an_empty_domain_is_named(ganzoo, animals):
    (animals / "train" / "fox").mkdir()
    result = ganzoo(*TRAIN, "--kimg", "0.008")
    assert result.exit_code == 1
    assert "the domain 'fox' has no images" in result.output
    assert not Path("experiments").exists()


def test_one_domain_is_not_enough(ganzoo, pictures):
    result = ganzoo("train", "stargan2", "--data", "pictures", *NARROW)
    assert result.exit_code == 2
    assert "--data pictures: it has no domains, but stargan2 translates between two or more." in result.output


def test_high_pass_skips_need_landmarks(ganzoo, animals):
    result = ganzoo(*TRAIN, "--w-hpf", "1")
    assert result.exit_code == 2
    assert "wing.ckpt" in result.output
    assert "--w-hpf 0" in result.output


def test_a_small_batch_is_reported(ganzoo, animals):
    result = ganzoo(*TRAIN, "--batch", "2", "--dry-run")
    assert result.exit_code == 0
    assert "warning: --batch 2: gradients are accumulated over 8 images" in result.output
    assert "the activations of 2 images" in result.output


def test_a_translation_of_every_source_is_written(ganzoo, animals):
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    result = ganzoo("generate", "--source", "animals/val/cat", "--domain", "dog,wild", "--seeds", "0-2")
    assert result.exit_code == 0, result.output
    files = list((RUN / "generated").glob("*-seed*.png"))
    assert len(files) == 2 * 2 * 3
    assert {Image.open(path).size for path in files} == {(64, 64)}
