"""Training reports what it finds out about its images."""

from __future__ import annotations

import json

from tests.conftest import TINY_RUN_OPTIONS
from tests.data.pictures import encoded, noise, write_folder


def test_training_ends_when_most_images_cannot_be_read(ganzoo, pictures):
    for index in range(13):
        (pictures / f"bad {index:02d}.png").write_bytes(b"text")
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--kimg", "1")
    assert result.exit_code == 1
    assert "pictures: most of its images can't be read" in result.stderr
    assert "`ganzoo data check` lists them all" in result.stderr


def test_training_reports_how_folders_are_read_and_that_an_older_run_read_them_differently(ganzoo, workdir):
    files = {f"{part}/{index}.png": encoded(noise(8, 8)) for part in ("training", "testing") for index in range(4)}
    write_folder(workdir / "set", files)
    result = ganzoo("train", "gan", "--data", "set", *TINY_RUN_OPTIONS)
    assert result.exit_code == 0
    assert "set: trained on: training/ (4 images)" in result.stdout
    assert "set: kept for validation: testing/ (4 images)" in result.stdout
    options = next((workdir / "experiments").glob("*/options.json"))
    description = json.loads(options.read_text())
    description["data"]["count"] = 8  # as if an older run had been trained on both folders
    options.write_text(json.dumps(description))
    resumed = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.02")
    assert "had 8 images" in resumed.stdout
    assert "set: kept for validation: testing/ (4 images)" in resumed.stdout


def test_one_small_image_does_not_determine_the_size(ganzoo, workdir):
    for index in range(9):
        write_folder(workdir / "set", {f"{index}.png": encoded(noise(*((5, 5) if index == 0 else (64, 70))))})
    assert "9 images of 64 px" in ganzoo("train", "gan", "--data", "set", "--dry-run").output
    result = ganzoo("train", "stylegan", "--data", "set", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "chosen for set: --max-size 64" in result.output
