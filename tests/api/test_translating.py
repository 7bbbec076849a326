"""Tests of translation in Python: the same pixels as on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as zoo
from tests.data.pictures import encoded, noise, write_folder
from tests.support import mean_colour


@pytest.fixture
def run(jittor, workdir, add_model):
    """Return a run of a model that translates, with pictures in the folders `sources` and `references`."""
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    for folder, count in (("sources", 3), ("references", 2)):
        files = {f"{index}.png": encoded(noise(9, 12, seed=index + count)) for index in range(count)}
        write_folder(workdir / folder, files)
    return zoo.load("model.safetensors")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_translations_equal_those_of_the_command_line(ganzoo, run, workdir):
    made = ["--source", "sources", "--domain", "dog", "--seeds", "0-1", "--out", "made"]
    assert ganzoo("generate", "model.safetensors", *made).exit_code == 0
    images = run.translate("sources", domain="dog", seeds=range(2))
    assert images.names == tuple(f"{source}-dog-seed000{seed}" for source in range(3) for seed in range(2))
    for name, image in zip(images.names, images):
        assert (image == pixels(Path("made") / f"{name}.png")).all()
    images.save("saved")
    assert {path.name for path in Path("saved").iterdir()} == {f"{name}.png" for name in images.names}
    assert images.sheet().shape == (3 * 66 + 2, 2 * 66 + 2, 3)


def test_references_give_the_style(ganzoo, run):
    made = ["--source", "sources/0.png", "--domain", "dog", "--reference", "references", "--out", "made"]
    assert ganzoo("generate", "model.safetensors", *made).exit_code == 0
    images = run.translate("sources/0.png", domain="dog", reference=Path("references"))
    assert len(images) == 2
    for name, image in zip(images.names, images):
        assert (image == pixels(Path("made") / f"{name}.png")).all()


def test_arrays_and_images_of_pillow_are_translated_like_files(run):
    expected = run.translate(["sources/0.png", "sources/1.png"], domain="dog", seeds=0)
    files = [Path("sources/0.png"), Path("sources/1.png")]
    arrays = np.stack([pixels(file) for file in files])
    assert (run.translate(arrays, domain="dog", seeds=0) == expected).all()
    assert (run.translate([Image.open(file) for file in files], domain="dog", seeds=0) == expected).all()
    assert (run.translate(arrays[0], domain="dog", seeds=0) == expected[:1]).all()
    cmyk = Image.open(files[0]).convert("CMYK")
    assert run.translate(cmyk, domain="dog", seeds=0).shape == expected[:1].shape
    by_array = run.translate(arrays[0], domain="dog", reference=arrays[1])
    assert (by_array == run.translate("sources/0.png", domain="dog", reference="sources/1.png")).all()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda run: run.translate("nothing"), "--source: there is no file or folder 'nothing'"),
        (lambda run: run.translate([]), "--source: it is empty"),
        (lambda run: run.translate(np.zeros((4, 4, 3))), "--source: float64 (4, 4, 3) instead of uint8"),
        (lambda run: run.translate(7), "--source: 7 is not a list"),
        (lambda run: run.translate("sources", domain="cow"), "--domain: unknown domain 'cow'"),
        (lambda run: run.generate(0), "mean-colour translates images: give the input with --source"),
    ],
)
def test_wrong_values_are_refused_in_the_words_of_the_command_line(run, call, problem):
    with pytest.raises(zoo.GanzooError) as caught:
        call(run)
    assert str(caught.value).startswith(problem)


def test_a_model_that_does_not_translate_says_so(trained):
    with pytest.raises(zoo.GanzooError, match="--source: gan generates images from latents"):
        zoo.load().translate("pictures")
