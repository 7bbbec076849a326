"""Special files, and files with numbers of a wrong type, are each reported in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ganzoo.checkpoints import checkpoint
from tests.conftest import TINY_RUN_OPTIONS

pytestmark = pytest.mark.usefixtures("jittor")


@pytest.mark.parametrize("file", ["pipe.safetensors", "/dev/zero"])
@pytest.mark.parametrize(
    "command",
    [
        ["import", "stylegan", "FILE"],
        ["import", "stargan2", "FILE"],
        ["train", "gan", "--preset", "FILE"],
        ["train", "stargan2", "--data", "pictures", "--w-hpf", "1", "--wing", "FILE", "--dry-run"],
        ["generate", "FILE"],
        ["evaluate", "FILE"],
        ["evaluate", "--folders", "pictures", "pictures", "--metrics", "fid", "--weights", "FILE"],
        ["data", "check", "FILE"],
        ["data", "prepare", "emoji", "--from", "FILE", "--from", "FILE"],
        ["data", "align", "pictures", "--out", "aligned", "--wing", "FILE"],
    ],
    ids=lambda command: " ".join(command[:2]) + (" --weights" if "--weights" in command else ""),
)
def test_a_file_that_is_not_regular_is_refused_without_waiting(ganzoo, domains, command, file):
    os.mkfifo("pipe.safetensors")
    result = ganzoo(*(file if word == "FILE" else word for word in command))
    assert result.exit_code in (1, 2), result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert file in line
    assert not Path("experiments").exists()


def test_a_run_whose_options_file_is_a_pipe_is_damaged(ganzoo):
    Path("experiments/00000-x").mkdir(parents=True)
    os.mkfifo("experiments/00000-x/options.json")
    assert "damaged" in ganzoo("runs").stdout
    result = ganzoo("train", "gan", "--resume", "0")
    assert result.exit_code == 1
    assert "options.json: can't be read" in result.stderr
    assert "not a regular file" in result.stderr


@pytest.mark.parametrize("part", ["net/", "ema/", "adam/"])
def test_numbers_of_another_type_are_refused_even_with_a_correct_checksum(ganzoo, pictures, part):
    """A maliciously crafted file can contain such numbers. Jittor would fail on them in the middle of a layer."""
    assert ganzoo("train", "gan", "--data", "pictures", "--ema", "0.9", *TINY_RUN_OPTIONS).exit_code == 0
    path = checkpoint.newest(Path("experiments/00000-gan-pictures"))
    saved = checkpoint.read(path)
    forged = {name: value.astype(np.int32) if name.startswith(part) else value for name, value in saved.tensors.items()}
    assert any(value.dtype == np.int32 for value in forged.values())
    checkpoint.write(path, forged, saved.run, saved.metadata)
    command = ["generate"] if part == "ema/" else ["train", "gan", "--resume", "latest", "--kimg", "0.032"]
    result = ganzoo(*command)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "has dtype int32, not float32" in line or "optimizer state does not fit" in line
