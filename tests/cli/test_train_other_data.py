"""`ganzoo train --resume --data`: the data of a run may move and grow, but other data need a flag."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import ganzoo as zoo
from tests.cli.test_train import RUN, one_error
from tests.conftest import TINY_RUN_OPTIONS

RESUME = ["train", "gan", "--resume", "0", "--kimg", "0.024"]


@pytest.fixture
def trained(jittor, ganzoo, pictures) -> Path:
    """Return a run that was trained on `pictures` where they are now."""
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    return RUN


def make(name: str, count: int) -> None:
    Path(name).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (10, 10), (20 * number, 0, 0)).save(f"{name}/{number}.png")


def test_other_data_need_a_flag(ganzoo, trained):
    make("others", 12)  # as many as the run had, but its own are still there
    before = (trained / "options.json").read_bytes()
    message = one_error(ganzoo(*RESUME, "--data", "others"), 2)
    assert "--data others: 00000-gan-pictures was trained on pictures (12 images), and resuming" in message
    assert "`ganzoo train gan --from 00000-gan-pictures --data others` starts a new run" in message
    assert message.endswith("To resume all the same, add --other-data.")
    assert "--other-data" in one_error(ganzoo(*RESUME, "--data", "others", "--dry-run"), 2)
    assert (trained / "options.json").read_bytes() == before
    result = ganzoo(*RESUME, "--data", "others", "--other-data")
    assert result.exit_code == 0, result.output
    assert "changed: trained on pictures before, now on others (12 images)" in result.output
    assert json.loads((RUN / "options.json").read_text())["train"]["data"] == "others"
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0  # they are now the run's own


def test_data_that_moved_or_were_copied_are_the_same(ganzoo, trained):
    shutil.copytree("pictures", "copies/pictures")
    result = ganzoo(*RESUME, "--data", "copies/pictures")
    assert result.exit_code == 0, result.output
    shutil.rmtree("pictures")
    shutil.move("copies/pictures", "moved")
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032", "--data", "moved")
    assert result.exit_code == 0, result.output


def test_moved_data_with_another_name_and_number_of_images_are_others(ganzoo, trained):
    shutil.rmtree("pictures")
    make("moved", 11)
    assert "--other-data" in one_error(ganzoo(*RESUME, "--data", "moved"), 2)
    make("elsewhere/pictures", 11)
    result = ganzoo(*RESUME, "--data", "elsewhere/pictures")
    assert result.exit_code == 0, result.output


def test_images_may_be_added_in_place(ganzoo, trained):
    shutil.copy("pictures/00.png", "pictures/more.png")
    result = ganzoo(*RESUME, "--data", "pictures")
    assert result.exit_code == 0, result.output
    assert "changed: pictures had 12 images, has 13" in result.output


def test_python_has_the_flag_too(ganzoo, trained):
    make("others", 5)
    run = zoo.train("gan", "others", resume="0", kimg=0.024, other_data=True)
    assert run.data.name == "others"
