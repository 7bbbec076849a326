"""`--fit` in every command that reads images: training, evaluation, data, translation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ganzoo.data.storage import open_path
from ganzoo.interfaces.dataset import FITS
from tests.cli.test_train import RUN, one_error
from tests.conftest import TINY_RUN_OPTIONS
from tests.data.pictures import encoded, noise, write_folder
from tests.sampling.test_translation import cells
from tests.support import mean_colour
from tests.support.runs import newest, same, tensors

pytestmark = pytest.mark.usefixtures("jittor")
TRAIN = ["train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS]
EVALUATE = ["evaluate", "--samples", "12", "--metrics", "kid"]


def fitted(image: Image.Image, fit: str, size: int) -> np.ndarray:
    """Return the square of an image, computed by Pillow alone."""
    square, lanczos = (size, size), Image.Resampling.LANCZOS
    if fit == "pad":
        return np.asarray(ImageOps.pad(image, square, lanczos, "white"))
    return np.asarray(ImageOps.fit(image, square, lanczos) if fit == "crop" else image.resize(square, lanczos))


def cell(sheet: Path, size: int) -> np.ndarray:
    """Return the first image on a sheet, which shows small images enlarged to 64 px."""
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return pixels[2:, 2:][: max(size, 64), : max(size, 64)][:: max(1, 64 // size), :: max(1, 64 // size)]


@pytest.fixture
def oblong(workdir: Path) -> Path:
    """Return a folder `pictures` of 12 images of 16 x 8 px, the outer quarters of which are black or white."""
    (workdir / "pictures").mkdir()
    for index in range(12):
        pixels = np.full((8, 16, 3), 10 * index, np.uint8)
        pixels[:, :4], pixels[:, 12:] = 0, 255
        Image.fromarray(pixels).save(workdir / "pictures" / f"{index:02d}.png")
    return workdir / "pictures"


def data_of(run: Path = RUN) -> dict:
    return json.loads((run / "options.json").read_text())["data"]


# Training


def test_training_and_its_sheet_of_reals_use_the_fitted_images(ganzoo, oblong):
    found = {}
    for number, options in enumerate([[], *(["--fit", fit] for fit in FITS)]):
        result = ganzoo(*TRAIN, *options)
        assert result.exit_code == 0, result.output
        run = Path(f"experiments/{number:05d}-gan-pictures")
        fit = options[1] if options else "crop"
        assert data_of(run).get("fit", "crop") == fit
        first = cell(run / "reals.png", 8)
        padded = (first[:2] == 255).all() and (first[6:] == 255).all()
        stretched = (first[:, 0] == 0).all() and (first[:, 7] == 255).all()
        assert {"pad": (True, False), "stretch": (False, True)}.get(fit, (False, False)) == (padded, stretched)
        found[number] = tensors(run)
    assert same(found[0], found[1])  # crop is the default
    assert not any(same(found[one], found[other]) for one, other in ((1, 2), (1, 3), (2, 3)))


def test_a_cropped_run_is_described_as_by_earlier_versions(ganzoo, pictures):
    assert ganzoo(*TRAIN, "--fit", "crop").exit_code == 0
    assert "fit" not in data_of()
    assert newest(RUN).data.fit == "crop"


def test_a_preset_may_choose_the_fit(ganzoo, pictures):
    Path("mine.toml").write_text('fit = "stretch"\n')
    assert ganzoo(*TRAIN, "--preset", "mine.toml").exit_code == 0
    assert data_of()["fit"] == "stretch"


def test_a_dry_run_shows_the_fit(ganzoo, pictures):
    assert "--fit                  crop" in ganzoo(*TRAIN, "--dry-run").output
    assert "--fit                  pad" in ganzoo(*TRAIN, "--dry-run", "--fit", "pad").output


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_resumed_run_keeps_its_fit_exactly(ganzoo, pictures, fit):
    assert ganzoo(*TRAIN, "--fit", fit).exit_code == 0
    whole = tensors(RUN)
    shutil.rmtree(RUN)
    assert ganzoo(*TRAIN, "--fit", fit, "--kimg", "0.008").exit_code == 0
    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.016").exit_code == 0
    assert same(tensors(RUN), whole)


def test_a_run_cannot_be_resumed_with_another_fit(ganzoo, pictures):
    assert ganzoo(*TRAIN, "--fit", "pad").exit_code == 0
    before = {path.name: path.read_bytes() for path in RUN.iterdir()}
    resume = ["train", "gan", "--resume", "latest", "--kimg", "0.024"]
    line = one_error(ganzoo(*resume, "--fit", "stretch"), 2)
    assert line == "Error: --fit stretch: the run was trained with --fit pad. Keep that, or start a new run."
    assert {path.name: path.read_bytes() for path in RUN.iterdir()} == before
    assert ganzoo("data", "prepare", "pictures", "--out", "cropped").exit_code == 0
    line = one_error(ganzoo(*resume, "--data", "cropped"), 2)
    assert line.startswith("Error: --fit pad: cropped was prepared with --fit crop, so its images are squares already.")
    assert ganzoo("data", "prepare", "pictures", "--out", "padded", "--fit", "pad").exit_code == 0
    assert ganzoo(*resume, "--data", "padded", "--other-data").exit_code == 0


def test_data_with_another_fit_do_not_continue_a_run_that_did_not_choose_one(ganzoo, pictures):
    assert ganzoo("data", "prepare", "pictures", "--out", "padded", "--fit", "pad").exit_code == 0
    assert ganzoo(*TRAIN).exit_code == 0
    line = one_error(ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.024", "--data", "padded"), 2)
    assert line.startswith(
        "Error: --data padded: the run was trained with --fit crop, but the images of this data set "
    )


# Data


def test_prepared_squares_decide_the_fit(ganzoo, pictures):
    prepared = ganzoo("data", "prepare", "pictures", "--out", "mine", "--sizes", "4,8", "--fit", "pad", "--lossless")
    assert prepared.exit_code == 0, prepared.output
    data, source = open_path(Path("data/mine.lmdb")), open_path(pictures)
    assert data.info.fit == "pad"
    for size in (4, 8):
        image = Image.fromarray(source.load(3)[0])
        np.testing.assert_array_equal(data.at_size(size).load(3)[0], fitted(image, "pad", size))
    train = ["train", "gan", "--data", "mine", *TINY_RUN_OPTIONS]
    for fit in ("crop", "stretch"):
        line = one_error(ganzoo(*train, "--fit", fit), 2)
        assert line == (
            f"Error: --fit {fit}: mine was prepared with --fit pad, so its images are squares already. "
            f"For --fit {fit}, prepare it again with `ganzoo data prepare --fit {fit}`."
        )
    for options in ([], ["--fit", "pad"]):
        assert ganzoo(*train, *options).exit_code == 0
    assert data_of(Path("experiments/00000-gan-mine"))["fit"] == "pad"
    assert ganzoo("data", "prepare", "mine", "--out", "again", "--sizes", "4").exit_code == 0
    assert open_path(Path("data/again.lmdb")).info.fit == "pad"
    refused = one_error(ganzoo("data", "prepare", "mine", "--out", "other", "--fit", "crop"), 2)
    assert refused.startswith("Error: --fit crop: mine was prepared with --fit pad")


@pytest.mark.parametrize("fit", FITS)
def test_a_sheet_of_a_data_set_shows_fitted_images(ganzoo, pictures, fit):
    result = ganzoo("data", "show", "pictures", "--size", "96", "--fit", fit, "--out", "sheet.png")
    assert result.exit_code == 0, result.output
    with Image.open(pictures / "00.png") as image:
        np.testing.assert_array_equal(cell(Path("sheet.png"), 96), fitted(image, fit, 96))


def test_check_says_what_happens_to_images_that_are_not_square(ganzoo, pictures):
    line = "    not square: 12; --fit crop (the default) cuts them, pad adds white, stretch distorts"
    assert line in ganzoo("data", "check", "pictures").stdout.splitlines()
    write_folder(Path("square"), {"a.png": encoded(noise(9, 9))})
    assert "not square" not in ganzoo("data", "check", "square").stdout


# Evaluation


def test_a_run_is_compared_with_images_fitted_as_in_its_training(ganzoo, pictures):
    track = ["--evaluate-every", "0.016", "--evaluate", "kid", "--evaluate-samples", "12"]
    assert ganzoo(*TRAIN, *track, "--fit", "pad").exit_code == 0
    result = ganzoo(*EVALUATE)
    assert result.exit_code == 0, result.output
    during, after = (json.loads(line) for line in (RUN / "evaluations.jsonl").read_text().splitlines())
    assert during["fit"] == after["fit"] == "pad"
    assert during["subject"] == after["subject"] == "gan at 0.016 kimg, 8 px, RGB, padded"
    assert during["mean"] == after["mean"]
    against = ganzoo(*EVALUATE, "--against", "pictures")
    assert against.output.splitlines()[-2:] == result.output.splitlines()[-2:]


def test_a_run_is_not_compared_with_squares_of_another_fit(ganzoo, pictures):
    assert ganzoo(*TRAIN, "--fit", "stretch").exit_code == 0
    assert ganzoo("data", "prepare", "pictures", "--out", "cropped").exit_code == 0
    line = one_error(ganzoo(*EVALUATE, "--against", "cropped"), 2)
    assert line.startswith(
        "Error: --against cropped, for a model trained with --fit stretch: cropped was prepared with --fit crop"
    )


def test_folders_are_compared_in_the_chosen_fit(ganzoo, pictures):
    padded = {path.name: Image.fromarray(fitted(Image.open(path), "pad", 12)) for path in pictures.iterdir()}
    write_folder(Path("padded"), {name: encoded(image) for name, image in padded.items()})
    compare = ["evaluate", "--folders", "padded", "pictures", "--metrics", "fid", "--size", "12"]
    fids = {}
    for fit in (None, *FITS):
        result = ganzoo(*compare, *([] if fit is None else ["--fit", fit]))
        assert result.exit_code == 0, result.output
        fids[fit] = float(result.stdout.splitlines()[-1].split()[2])
    assert fids[None] == fids["crop"] > 1
    assert fids["stretch"] > 1
    assert fids["pad"] < 1e-3
    assert "padded, padded vs. pictures" in ganzoo(*compare, "--fit", "pad").stdout
    line = one_error(ganzoo("evaluate", "--folders", "padded", "pictures", "--fit", "pad"), 2)
    assert "--fit: only valid with --folders and --size; a checkpoint determines its own." in line
    assert (
        ganzoo("data", "prepare", "pictures", "--out", "prepared.lmdb", "--sizes", "8", "--fit", "pad").exit_code == 0
    )
    result = ganzoo(*compare[:2], "padded", "prepared.lmdb", *compare[4:])
    assert "padded, padded vs. prepared.lmdb" in result.stdout


# Translation


@pytest.mark.parametrize("fit", FITS)
def test_translations_have_the_shape_of_a_padded_source(ganzoo, workdir, add_model, fit):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors", replace(mean_colour.INFO, fit=fit))
    shapes = {"wide": (16, 12), "tall": (1, 40), "even": (9, 9)}
    write_folder(workdir / "sources", {f"{name}.png": encoded(noise(*size)) for name, size in shapes.items()})
    result = ganzoo(
        "generate", "model.safetensors", "--source", "sources", "--domain", "dog", "--seeds", "0", "--out", "out"
    )
    assert result.exit_code == 0, result.output
    expected = dict.fromkeys(shapes, (8, 8)) | ({"wide": (8, 6), "tall": (1, 8)} if fit == "pad" else {})
    for name, size in expected.items():
        with Image.open(f"out/{name}-dog-seed0000.png") as image:
            assert image.size == size
    with Image.open("out/grid.png") as sheet, Image.open("sources/wide.png") as source:
        top = cells(np.asarray(sheet.convert("RGB")), 3)[0]
        np.testing.assert_array_equal(top[2], fitted(source, fit, 8))


def test_a_padded_stargan_translates_images_that_are_not_square(ganzoo, workdir):
    narrow = ["--channels-base", "512", "--channels-max", "8", "--hidden", "8", "--style", "8", "--latent", "4"]
    for domain in ("cat", "dog"):
        files = {f"{index}.png": encoded(noise(48, 32, seed=index)) for index in range(3)}
        write_folder(workdir / "animals" / domain, files)
    train = ["train", "stargan2", "--data", "./animals", *narrow, "--batch", "2", "--kimg", "0.004", "--tick", "0.004"]
    result = ganzoo(*train, "--fit", "pad")
    assert result.exit_code == 0, result.output
    cat, dogs = "animals/cat/0.png", "animals/dog"
    result = ganzoo("generate", "--source", cat, "--reference", dogs, "--domain", "dog", "--out", "out")
    assert result.exit_code == 0, result.output
    size = data_of(Path("experiments/00000-stargan2-animals"))["size"]
    for index in range(3):
        with Image.open(f"out/0-dog-{index}.png") as image:
            assert image.size == (size, round(size * 2 / 3))
