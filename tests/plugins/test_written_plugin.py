"""A plugin written by `ganzoo new-plugin` installs, passes its own test and trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TINY_RUN_OPTIONS = ["--size", 16, "--latent", 8, "--width", 4, "--batch", 4, "--kimg", 0.008, "--device", "cpu"]


def test_a_written_plugin_passes_its_contract_test_and_trains(virtualenv: Any, tmp_path: Path) -> None:
    virtualenv.run("-m", "ganzoo", "new-plugin", "written-here", cwd=tmp_path)
    virtualenv.install(tmp_path / "written-here")
    assert "written-here convolutional GAN" in virtualenv.run("-m", "ganzoo", "models")
    assert "1 passed" in virtualenv.run("-m", "pytest", "-p", "no:cacheprovider", tmp_path / "written-here")

    out = virtualenv.run(
        "-m", "ganzoo", "train", "written-here", *TINY_RUN_OPTIONS, "--experiments", tmp_path / "experiments"
    )
    assert "finished: " in out
    (run,) = (tmp_path / "experiments").iterdir()
    (tick,) = map(json.loads, (run / "stats.jsonl").read_text().splitlines())
    assert tick["step"] == 2
    assert tick["losses"].keys() == {"discriminator/real", "discriminator/fake", "generator/adversarial"}

    again = virtualenv.run("-m", "ganzoo", "new-plugin", "written_here", cwd=tmp_path, status=2)
    assert "a model 'written-here' already exists" in again


@pytest.mark.parametrize("kind", ["conditional", "translation", "dataset", "metric", "events"])
def test_every_kind_of_written_plugin_passes_its_own_test(virtualenv: Any, tmp_path: Path, kind: str) -> None:
    virtualenv.run("-m", "ganzoo", "new-plugin", "written-here", "--kind", kind, cwd=tmp_path)
    virtualenv.install(tmp_path / "written-here")
    (row,) = (
        row for row in json.loads(virtualenv.run("-m", "ganzoo", "plugins", "--json")) if row["name"] == "written-here"
    )
    assert row["problems"] == []
    out = virtualenv.run("-m", "pytest", "-p", "no:cacheprovider", tmp_path / "written-here")
    assert "passed" in out
    assert "failed" not in out


def test_a_plugin_whose_name_is_one_word_is_found_next_to_its_folder(virtualenv: Any, tmp_path: Path) -> None:
    virtualenv.run("-m", "ganzoo", "new-plugin", "writtenhere", cwd=tmp_path)
    virtualenv.install("-e", tmp_path / "writtenhere")
    assert "writtenhere  convolutional GAN" in virtualenv.run("-m", "ganzoo", "models", cwd=tmp_path)


def test_a_written_plugin_rejects_a_size_that_its_networks_cannot_halve(virtualenv: Any, tmp_path: Path) -> None:
    virtualenv.run("-m", "ganzoo", "new-plugin", "written-here", cwd=tmp_path)
    code = """
from ganzoo import DataInfo, OptionError
from written_here import WrittenHereModel, WrittenHereOptions
data = DataInfo("made-up", 8, 30, 1)
print(WrittenHereModel().image_size(WrittenHereOptions(), data))
try:
    WrittenHereModel().image_size(WrittenHereOptions(size=30), data)
except OptionError as error:
    print(error)
"""
    assert virtualenv.run("-c", code, cwd=tmp_path / "written-here" / "src").splitlines() == [
        "32",
        "--size: 30 is not a multiple of 8, as the networks require.",
    ]
