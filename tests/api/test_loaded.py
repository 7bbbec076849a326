"""Tests of loaded runs: the Python API gives the same results as the command line."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganzoo as zoo
from tests.conftest import TINY_RUN_OPTIONS

NARROW = ["--channels-max", "8", "--latent", "8", "--max-size", "8", "--batch", "4", "--kimg", "0.008"]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_images_equal_those_of_the_command_line(ganzoo, trained):
    assert ganzoo("generate", "--seeds", "0-2,9", "--out", "made").exit_code == 0
    run = zoo.load()
    images = run.generate([0, 1, 2, 9])
    for seed, image in zip((0, 1, 2, 9), images):
        assert (image == pixels(Path(f"made/seed{seed:04d}.png"))).all()
    assert (images.sheet() == pixels(Path("made/grid.png"))).all()
    assert images.latents.shape == (4, 100)
    assert (run.generate("9") == images[3:]).all()
    assert (run.generate(9) == images[3:]).all()


@pytest.mark.parametrize("name", ["latest", "0", 0, "00000-gan-pictures", "experiments/00000-gan-pictures", Path("x")])
def test_a_run_is_found_as_on_the_command_line(trained, name):
    run = zoo.load(trained if isinstance(name, Path) else name)
    assert (run.path.name, run.model, run.kimg, run.data.size) == ("00000-gan-pictures", "gan", 0.016, 8)
    assert run.options["batch"] == 4
    assert repr(run) == "<ganzoo run 00000-gan-pictures: gan at 0.016 kimg, 8 px>"


def test_a_checkpoint_can_be_loaded(trained):
    assert zoo.load(next(trained.glob("*.safetensors"))).kimg == 0.016


def test_a_missing_run_is_an_error(workdir):
    with pytest.raises(zoo.GanzooError, match="there is no run in experiments yet"):
        zoo.load()


def test_a_walk_has_the_frames_of_the_command_line(ganzoo, trained):
    command = ["generate", "--interpolate", "--seeds", "0-7", "--steps", "2", "--format", "png", "--out", "made"]
    assert ganzoo(*command).exit_code == 0
    walk = zoo.load().interpolate(range(8), steps=2)
    frames = sorted(Path("made").glob("*.png"))
    assert len(walk) == len(frames)
    assert all((frame == pixels(path)).all() for frame, path in zip(walk.frames, frames))
    assert len(zoo.load().interpolate(range(4), steps=3, grid=(1, 2))) == 6


def test_classes_can_be_chosen(ganzoo, domains):
    assert ganzoo("train", "gan", "--conditional", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    assert ganzoo("generate", "--class", "two:2,one:1", "--out", "made").exit_code == 0
    run = zoo.load()
    images = run.generate(classes={"two": 2, "one": 1})
    assert (images.names, images.seeds) == (("two", "two", "one"), (0, 1, 0))
    assert (images.sheet() == pixels(Path("made/grid.png"))).all()
    assert (run.generate(2, classes="one") == run.generate([2], classes=["one"])).all()
    with pytest.raises(zoo.OptionError, match=r"unknown class 'tow'.*Did you mean"):
        run.generate(classes="tow")


def test_styles_can_be_mixed_and_truncated(ganzoo, pictures):
    assert ganzoo("train", "stylegan", "--data", "pictures", *NARROW).exit_code == 0
    made = ["--mix", "--sources", "0,1", "--destinations", "2", "--mix-layers", "0-1", "--psi", "0.5", "--out", "made"]
    assert ganzoo("generate", *made).exit_code == 0
    run = zoo.load()
    sheet = run.mix([0, 1], 2, layers=range(2), psi=0.5)
    assert (sheet == pixels(Path("made/mixing-0-1.png"))).all()
    assert ganzoo("generate", "--seeds", "4", "--psi", "0.3", "--noise", "none", "--out", "made").exit_code == 0
    assert (run.generate(4, psi=0.3, noise="none")[0] == pixels(Path("made/seed0004.png"))).all()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda run: run.generate(-1), "--seeds: -1 is not a whole number of at least 0"),
        (lambda run: run.generate([]), "--seeds: it is empty"),
        (lambda run: run.generate(2.5), "--seeds: 2.5 is not a list"),
        (lambda run: run.generate(0, psi=0.5), "--psi / --truncation: for style-based generators only"),
        (lambda run: run.generate(0, size=16), "--size 16: this run was trained at 8 px"),
        (lambda run: run.generate(0, classes="cat"), "--class: this model has no classes"),
        (lambda run: run.generate(0, attributes=3), "--attributes: 3 is not a dictionary"),
        (lambda run: run.interpolate([0]), "--interpolate: a walk needs at least two seeds"),
        (lambda run: run.interpolate(range(4), fps=0), "--fps: 0 is not a whole number from 1 to 120"),
        (lambda run: run.mix(layers=1.5), "--mix-layers: 1.5 is not a layer"),
    ],
)
def test_wrong_values_are_refused_in_the_words_of_the_command_line(trained, call, problem):
    with pytest.raises(zoo.GanzooError) as caught:
        call(zoo.load())
    assert str(caught.value).startswith(problem)


def test_an_unknown_argument_is_a_type_error_that_names_the_others(trained):
    with pytest.raises(TypeError, match=r"unexpected argument 'class_'; besides those of its own it takes classes, "):
        zoo.load().generate(0, class_=3)


def test_scores_are_those_of_the_command_line(ganzoo, trained):
    command = ganzoo("evaluate", "--metrics", "fid,kid", "--samples", "12", "--real", "12")
    assert command.exit_code == 0, command.output
    scores = zoo.load().evaluate("fid,kid", samples=12, real=12)
    assert {"fid", "kid"} <= scores.keys()
    assert f"{scores['fid']:.4g}" in command.stdout
    assert str(scores).splitlines()[-1] in command.stdout
    assert len((trained / "evaluations.jsonl").read_text().splitlines()) == 2


def test_statistics_are_columns(trained, monkeypatch):
    run = zoo.load()
    monkeypatch.setitem(sys.modules, "pandas", None)
    columns = run.stats
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert columns["kimg"].tolist() == [row["kimg"] for row in rows]
    losses = {f"losses/{name}": value for name, value in rows[0]["losses"].items()}
    assert losses
    assert {name: columns[name][0] for name in losses} == losses
    fake: Any = type(sys)("pandas")
    fake.DataFrame = lambda found: ("frame", found)
    monkeypatch.setitem(sys.modules, "pandas", fake)
    assert run.stats[0] == "frame"


def test_a_notebook_shows_a_card_with_curves_and_samples(trained):
    card = zoo.load()._repr_html_()
    assert card.count("data:image/png;base64,") == 2
    assert "<td>gan</td>" in card
    assert "0.016 kimg" in card


def test_a_run_works_in_another_thread(trained):
    run, made = zoo.load(), []
    threads = [threading.Thread(target=lambda: made.append(run.generate(range(3)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((images == run.generate(range(3))).all() for images in made)
    assert len(made) == 3


def test_a_report_is_saved(trained):
    assert zoo.load().save_report().resolve() == trained / "report.html"
    assert zoo.load().save_report("page.html") == Path("page.html")
    assert Path("page.html").read_text() == (trained / "report.html").read_text()


def test_a_checkpoint_outside_a_run_has_no_report(trained, workdir):
    alone = workdir / "alone" / "checkpoint-000000016.safetensors"
    alone.parent.mkdir()
    alone.write_bytes(next(trained.glob("*.safetensors")).read_bytes())
    with pytest.raises(zoo.GanzooError, match="is not in the folder of a run, so there are no statistics to report"):
        zoo.load(alone).save_report()
    with pytest.raises(zoo.GanzooError, match="is not in the folder of a run"):
        zoo.load("zoo:gan-mnist").save_report()
