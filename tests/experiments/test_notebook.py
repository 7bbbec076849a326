"""The notebook that shows the Python API: it runs from top to bottom, with a short training."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "ganzoo.ipynb"
SHORT = "kimg, tick, samples = 0.064, 0.032, 8"


def test_the_notebook_runs(workdir):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert settings.source.startswith("kimg = ")
    settings.source = SHORT
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(workdir)}})
    client.execute(env=dict(os.environ))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = json.dumps(outputs)
    assert "<b>00000-lsgan-mnist</b>" in shown  # the card
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3  # sheet, single image, mixing
    assert "data:image/webp;base64," in shown  # the animation
    assert "features: efficientnet-lite0" in shown
    assert "0.064 kimg: " in shown
    assert "Warning" not in shown
    assert "log.cc" not in shown  # a line of Jittor's log
    assert (workdir / "digits.png").exists()
    assert (workdir / "walk.gif").exists()
    assert (workdir / "experiments" / "00001-stylegan-mnist").is_dir()


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
