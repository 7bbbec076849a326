"""Tests of what a loaded run says can be chosen, of points between seeds, and of frames one by one."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as zoo
from tests.conftest import TINY_RUN_OPTIONS
from tests.support import mean_colour
from tests.support.stylegan_checkpoint import write_checkpoint


@pytest.fixture
def styled(jittor, workdir):
    write_checkpoint(workdir / "tiny.safetensors")
    return zoo.load("tiny.safetensors")


def test_a_plain_model_has_nothing_to_choose_but_the_seed(trained):
    assert zoo.load().controls == zoo.Controls()


def test_classes_and_style_layers_are_controls(ganzoo, domains, styled):
    assert styled.controls.style_layers == 8
    assert ganzoo("train", "gan", "--conditional", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    run = zoo.load()
    assert run.controls.classes == ("one", "two")
    assert run.validation() is not None
    shutil.rmtree("pictures")
    assert run.validation() is None  # they are no longer on this machine


def test_domains_are_controls_of_a_model_that_translates(jittor, workdir, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    run = zoo.load("model.safetensors")
    controls = run.controls
    assert (controls.translates, controls.looks, controls.directions) == (True, True, ())
    assert controls.domains == run.data.domains
    assert run.validation() is None  # its data are not on this machine


def test_points_equal_those_of_the_command_line(ganzoo, styled):
    made = [
        "--at",
        "3.5,0.25",
        "--at",
        "1,2",
        "--mix-with",
        "5",
        "--mix-layers",
        "1-3",
        "--psi",
        "0.5",
        "--out",
        "made",
    ]
    assert ganzoo("generate", "tiny.safetensors", *made).exit_code == 0
    images = styled.generate(at=[(3.5, 0.25), (1, 2)], mix_with=5, mix_layers=range(1, 4), psi=0.5)
    assert images.names == ("at3.5,0.25", "at1,2")
    assert images.seeds is images.latents is None
    for name, image in zip(images.names, images):
        assert (image == np.asarray(Image.open(Path("made") / f"{name}.png"))).all()
    assert (styled.generate(at=(3.5, 0.25), mix_with=5, mix_layers="1-3", psi=0.5)[0] == images[0]).all()
    images.save("saved")
    assert {path.name for path in Path("saved").iterdir()} == {"at3.5,0.25.png", "at1,2.png"}


def test_what_was_computed_for_one_image_does_not_change_the_next(styled):
    looks = [{"psi": 0.5}, {"psi": 1.0, "noise": "none"}, {"psi": -0.5}, {"noise": "random"}, {"noise": "const"}, {}]
    alone = [zoo.load("tiny.safetensors").generate(3, **look) for look in looks]
    assert all((styled.generate(3, **look) == image).all() for look, image in zip(looks, alone))


def test_frames_are_those_of_the_walk(styled):
    walk = styled.interpolate([3, 4], steps=3, grid=(1, 1), psi=0.5)
    frames = list(styled.frames([3, 4], steps=3, psi=0.5))
    assert len(frames) == 6
    assert np.abs(np.stack(frames).astype(int) - walk.frames).max() <= 1  # rounding differs between batch sizes
    assert len(list(styled.frames(at=[(0.5, 0), (1, 1)], steps=2))) == 4


def test_other_threads_use_the_run_between_two_frames(styled):
    frames = styled.frames([3, 4], steps=3)
    next(frames)
    made: list[zoo.Images] = []
    other = threading.Thread(target=lambda: made.append(styled.generate(3)))
    other.start()
    other.join(60)
    assert len(made) == 1
    assert len(list(frames)) == 5


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"at": 3}, "--at: 3 is not a list"),
        ({"at": (1, -1)}, "--at: '1.0,-1.0' is not"),
        ({"at": "1;2"}, "--at: '1;2'"),
    ],
)
def test_wrong_points_are_refused(trained, values, problem):
    with pytest.raises(zoo.OptionError) as caught:
        zoo.load().generate(**values)
    assert str(caught.value).startswith(problem)
