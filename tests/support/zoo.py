"""A plugin that brings trained models, in tests."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

CARD = {
    "summary": "Noise.",
    "license": "MIT",
    "data_license": "CC0",
    "recipe": "ganzoo train gan --data pictures",
    "usage": "ganzoo generate zoo:tiny",
    "metrics": {"fid1k-real1k-simple": 12.345},
}
CODE = """
from pathlib import Path
import ganzoo

@ganzoo.hookimpl
def ganzoo_zoo_models():
    return ganzoo.zoo_models(Path(__file__).parent / "weights")
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a plugin `tiny_zoo` in a folder importable, and return its folder for trained models."""
    package = folder / "tiny_zoo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CODE)
    info = folder / "tiny_zoo-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-zoo\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[ganzoo]\ntiny_zoo = tiny_zoo\n")
    sys.modules.pop("tiny_zoo", None)
    monkeypatch.syspath_prepend(folder)
    return package / "weights"


def write_entry(weights: Path, name: str, checkpoint: Path, **changed: object) -> None:
    """Write an entry with this checkpoint to a plugin's folder. `changed` are entries of its card; None removes one."""
    weights.mkdir(exist_ok=True)
    shutil.copy(checkpoint, weights / f"{name}.safetensors")
    card = {**CARD, "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(), **changed}
    text = json.dumps({key: value for key, value in card.items() if value is not None})
    (weights / f"{name}.json").write_text(text)
