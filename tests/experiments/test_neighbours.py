"""The picture of nearest training images finds copies and leaves the right order."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import ganzoo

SCRIPT = Path(__file__).parents[2] / "experiments" / "results" / "neighbours.py"


def test_neighbours_are_ordered_by_distance() -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.normal(size=(5, 7)), rng.normal(size=(40, 7))
    found, distances = runpy.run_path(str(SCRIPT))["nearest"](rows, others, 3)
    for row, indices, lengths in zip(rows, found, distances):
        expected = np.linalg.norm(others - row, axis=1)
        np.testing.assert_array_equal(indices, np.argsort(expected)[:3])
        np.testing.assert_allclose(lengths, np.sort(expected)[:3], rtol=1e-9)


def test_a_memorised_image_is_its_own_nearest_neighbour(tmp_path: Path) -> None:
    generated = np.asarray(ganzoo.load("zoo:lsgan-mnist").generate("0-2"))
    noise = np.random.default_rng(0).integers(0, 256, (9, *generated.shape[1:]), np.uint8)
    np.save(tmp_path / "data.npy", np.concatenate([noise, generated]))
    command = [sys.executable, str(SCRIPT), "zoo:lsgan-mnist", "--seeds", "0-2", "--count", "2"]
    command += ["--data", str(tmp_path / "data.npy"), "--out", str(tmp_path / "sheet.png")]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("12 training images: ")[1].split()[0]) < 1e-2
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    side = generated.shape[1]
    np.testing.assert_array_equal(picture[:, :side], picture[:, side + 4 : 2 * side + 4])
    assert picture.shape[:2] == (3 * side, 3 * side + 4)


def test_a_wrong_name_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "zoo:nothing", "--out", str(tmp_path / "sheet.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr
