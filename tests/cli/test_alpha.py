"""`--alpha`: images with transparency, from the data to training, samples, animations and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.backend.pixels import to_floats, to_uint8
from ganzoo.data.storage import open_path
from tests.conftest import TINY_RUN_OPTIONS
from tests.data.pictures import encoded, noise, write_folder
from tests.support.runs import same, tensors
from tests.support.shifting import ShiftModel

RUN = Path("experiments/00000-gan-sprites")
COUNT = 12


def sprites(folder: Path, hidden: tuple[int, int, int] = (0, 0, 0)) -> Path:
    """Write RGBA images of noise, whose left third is transparent and hides the colour `hidden`."""
    files = {}
    for index in range(COUNT):
        pixels = np.dstack([np.asarray(noise(9, 9, seed=index)), np.full((9, 9), 255, np.uint8)])
        pixels[:, :3], pixels[:, 3, 3] = (*hidden, 0), 100
        files[f"{index}.png"] = encoded(Image.fromarray(pixels))
    return write_folder(folder, files)


@pytest.fixture
def trained(jittor, ganzoo, workdir):
    sprites(workdir / "sprites")
    run(ganzoo, "train", "gan", "--data", "sprites", "--alpha", *TINY_RUN_OPTIONS)
    return RUN


def run(ganzoo, *arguments: str):
    result = ganzoo(*arguments)
    assert result.exit_code == 0, result.output
    return result


def pictures(path: Path) -> list[np.ndarray]:
    """Return the frames of an animation, or of several files, each converted to RGBA."""
    with Image.open(path) as image:
        found = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            found.append(np.asarray(image.convert("RGBA")))
        return found


def test_samples_have_four_channels_and_sheets_are_over_white(ganzoo, trained):
    assert json.loads((RUN / "options.json").read_text())["data"]["channels"] == 4
    for name in ("reals.png", "samples-000000016.png"):
        assert Image.open(RUN / name).mode == "RGB"
    run(ganzoo, "generate", "--seeds", "0-3", "--out", "out")
    image = Image.open("out/seed0001.png")
    assert (image.mode, image.size) == ("RGBA", (8, 8))
    assert Image.open("out/grid.png").mode == "RGB"


@pytest.mark.parametrize("format_", ["gif", "webp", "apng", "png"])
def test_interpolations_keep_transparency(ganzoo, trained, format_):
    run(ganzoo, "generate", "--interpolate", "--seeds", "0-1", "--grid", "1x1", "--steps", "2", "--format", format_)
    written = sorted((RUN / "generated").iterdir())
    frames = [frame for path in written for frame in pictures(path)]
    assert len(frames) == 4
    run(ganzoo, "generate", "--seeds", "0-1", "--out", "stills")
    for frame, still in zip(frames[::2], ("stills/seed0000.png", "stills/seed0001.png")):
        enlarged = np.asarray(Image.open(still)).repeat(8, 0).repeat(8, 1)
        cell, margin = frame[2:66, 2:66], frame[:2]
        assert (margin[..., 3] == 0).all()
        alpha = enlarged[..., 3]
        assert np.array_equal(cell[..., 3], np.where(alpha < 128, 0, 255) if format_ == "gif" else alpha)


def test_hidden_colours_do_not_reach_training(ganzoo, trained, workdir):
    sprites(workdir / "red" / "sprites", hidden=(255, 0, 0))
    run(ganzoo, "train", "gan", "--data", "red/sprites", "--alpha", *TINY_RUN_OPTIONS)
    assert same(tensors(RUN), tensors(Path("experiments/00001-gan-sprites")))


def test_a_resumed_run_keeps_alpha_and_goes_on_bit_by_bit(ganzoo, trained):
    run(ganzoo, "train", "gan", "--resume", "0", "--kimg", "0.032")
    longer = [*TINY_RUN_OPTIONS, "--kimg", "0.032"]
    run(ganzoo, "train", "gan", "--data", "sprites", "--alpha", *longer)
    assert same(tensors(RUN), tensors(Path("experiments/00001-gan-sprites")))
    refused = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.048", "--no-alpha")
    assert refused.exit_code == 2
    assert "--data sprites of 8 px, 3 channels" in refused.output


def test_a_prepared_set_trains_like_its_folder_and_needs_no_option(ganzoo, workdir, jittor):
    sprites(workdir / "sprites")
    run(ganzoo, "data", "prepare", "sprites", "--out", "./sprites.lmdb", "--sizes", "8", "--alpha", "--workers", "1")
    run(ganzoo, "train", "gan", "--data", "sprites.lmdb", *TINY_RUN_OPTIONS)
    run(ganzoo, "train", "gan", "--data", "sprites", "--alpha", *TINY_RUN_OPTIONS)
    assert same(tensors(RUN), tensors(Path("experiments/00001-gan-sprites")))


@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
def test_augmented_training_works(ganzoo, workdir, jittor, augment):
    sprites(workdir / "sprites")
    options = ["--augment", augment, *(["--augment-p", "0.5"] if augment == "ada" else [])]
    for chosen in ([], options):
        run(ganzoo, "train", "gan", "--data", "sprites", "--alpha", *chosen, *TINY_RUN_OPTIONS)
    plain, augmented = tensors(RUN), tensors(Path("experiments/00001-gan-sprites"))
    assert not same(plain, augmented)
    assert all(np.isfinite(value).all() for value in augmented.values())


def test_translations_of_rgba_images_are_rgba(ganzoo, workdir, jittor, add_model):
    add_model(ShiftModel())
    for name in ("one", "two"):
        sprites(workdir / "sprites" / name)
    chosen = ["--batch", "4", "--kimg", "0.012", "--tick", "0.012"]
    run(ganzoo, "train", "shift", "--data", "sprites", "--alpha", *chosen)
    trained = Path("experiments/00000-shift-sprites")
    assert Image.open(trained / "samples-000000012.png").mode == "RGB"
    run(ganzoo, "generate", "--source", "sprites/one/0.png", "--out", "out")
    assert Image.open("out/grid.png").mode == "RGB"
    shift = float(tensors(trained)["net/shift/shift"].item())
    source = to_floats(np.asarray(Image.open("sprites/one/0.png"))[None])
    for name, sign in (("one2two", 1), ("two2one", -1)):
        image = Image.open(f"out/0-{name}.png")
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image), to_uint8(source + np.float32(sign * shift))[0])
    assert "RGBA over white" in run(ganzoo, "evaluate", "--metrics", "kid", "--samples", "4").output


def test_metrics_see_images_over_white_and_say_so(ganzoo, trained):
    chosen = ["--metrics", "kid", "--samples", "8"]
    result = run(ganzoo, "evaluate", *chosen, "--save-images", "saved")
    assert "gan at 0.016 kimg, 8 px, RGBA over white vs. sprites" in result.output
    (record,) = map(json.loads, (RUN / "evaluations.jsonl").read_text().splitlines())
    assert record["recipe"]["background"] == "white"
    assert Image.open("saved/000000.png").mode == "RGBA"
    # Pillow resizes RGBA before, and RGB after it is drawn over white, so images of the trained size are compared.
    run(ganzoo, "data", "prepare", "sprites", "--out", "./at8.lmdb", "--sizes", "8", "--alpha", "--workers", "1")
    again = run(ganzoo, "evaluate", "--folders", "saved", "at8.lmdb", "--metrics", "kid")
    assert result.output.splitlines()[-2].split() == again.output.splitlines()[-1].split()


def test_path_lengths_of_rgba_images_are_measured(ganzoo, trained):
    run(ganzoo, "evaluate", "--metrics", "ppl-z-end", "--samples", "4")
    (record,) = map(json.loads, (RUN / "evaluations.jsonl").read_text().splitlines())
    (length,) = record["mean"][""].values()
    assert 0 < length < 1e9


def test_alpha_is_refused_if_there_is_no_transparency(ganzoo, workdir):
    write_folder(workdir / "photos", {f"{index}.png": encoded(noise(seed=index)) for index in range(4)})
    for command in (
        ["train", "gan", "--data", "photos", "--alpha", "--dry-run"],
        ["train", "gan", "--data", "mnist", "--alpha", "--dry-run"],
        ["data", "show", "photos", "--alpha"],
        ["data", "prepare", "photos", "--out", "x", "--alpha"],
    ):
        result = ganzoo(*command)
        assert result.exit_code == 2
        assert "--alpha: the images of " in result.output
        assert " have no transparency. Omit it." in result.output


def test_data_show_scales_with_alpha_and_draws_over_white(ganzoo, workdir):
    sprites(workdir / "sprites")
    for name, options in (("kept", ["--alpha"]), ("drawn", [])):
        run(ganzoo, "data", "show", "sprites", "--out", f"{name}.png", "--size", "16", *options)
    kept, drawn = (np.asarray(Image.open(f"{name}.png")).astype(int) for name in ("kept", "drawn"))
    assert kept.shape == drawn.shape
    assert kept.shape[2] == 3
    assert 0 < np.abs(kept - drawn).mean() < 2
    run(ganzoo, "data", "show", "sprites", "--alpha", "--augment", "diffaugment", "--out", "augmented.png")
    assert Image.open("augmented.png").mode == "RGB"


def test_data_check_says_what_happens_to_transparency(ganzoo, workdir):
    sprites(workdir / "sprites")
    checked = run(ganzoo, "data", "check", "sprites").output
    assert f"{COUNT} images with transparency, which is drawn over white; --alpha keeps it" in checked
    run(ganzoo, "data", "prepare", "sprites", "--out", "kept", "--alpha", "--sizes", "8", "--workers", "1")
    checked = run(ganzoo, "data", "check", "kept").output
    assert "RGBA" in checked
    assert f"{COUNT} images with transparency\n" in checked
    assert open_path(workdir / "data" / "kept.lmdb").info.channels == 4
