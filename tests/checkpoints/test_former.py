"""Compatibility with a run of an older version, in `former`: resuming and sampling give the same results.

The run was made by `ganzoo train stylegan --data mnist --loss r1 --mixing --init-size 8 --max-size 16
--channels-base 64 --channels-max 6 --latent 8 --mapping-layers 2 --w-average 0.99 --phase 0.008 --batch 4 --kimg 0.036
--tick 0.012`, and its grid.png by `ganzoo generate --seeds 0-7 --psi 0.7 --grid 2x4`. On the same processor the numbers
are identical; on others they differ by rounding.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from ganzoo.runs import Run
from tests.support.agreement import weight_differences

FORMER = Path(__file__).with_name("former")
LAST = "checkpoint-000000036.safetensors"


@pytest.fixture
def former(workdir: Path) -> Path:
    run = workdir / "experiments" / "00000-stylegan-mnist"
    shutil.copytree(FORMER, run)
    (run / "grid.png").unlink()
    return run


def test_resuming_reproduces_the_next_checkpoint(ganzoo, former):
    expected = checkpoint.read(former / LAST)
    (former / LAST).unlink()
    result = ganzoo("train", "stylegan", "--resume", str(former), "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "from checkpoint-000000028.safetensors" in result.output
    found = checkpoint.read(former / LAST)
    assert found.tensors.keys() == expected.tensors.keys()
    assert max(weight_differences(found, expected).values()) < 1e-4
    assert found.metadata.progress == expected.metadata.progress
    assert found.metadata.optimizer_steps == expected.metadata.optimizer_steps
    assert [row["images"] for row in map(json.loads, (former / "stats.jsonl").open())][-1] == 36


def test_the_same_images_are_generated(ganzoo, former):
    result = ganzoo("generate", str(former), "--seeds", "0-7", "--psi", "0.7", "--grid", "2x4", "--out", "out")
    assert result.exit_code == 0, result.output
    found, expected = (np.asarray(Image.open(path)).astype(int) for path in ("out/grid.png", FORMER / "grid.png"))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("path", sorted(FORMER.glob("*.safetensors")), ids=lambda path: path.stem)
def test_descriptions_are_written_unchanged(path):
    content, saved = path.read_bytes(), checkpoint.read(path)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    entries = {"format": 2, **saved.run.to_json(), **saved.metadata.to_json()}
    assert json.dumps(entries) == header["__metadata__"]["ganzoo"]
    options = json.dumps(Run(FORMER).description().to_json(), indent=2)
    assert f"{options}\n" == (FORMER / "options.json").read_text()
