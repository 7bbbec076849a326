"""Run folders that no training wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganzoo.runs import Run


def row(kimg: float, **more: Any) -> dict[str, Any]:
    """Return a row of stats.jsonl, of a healthy run."""
    losses = {"discriminator/real": 0.3, "discriminator/fake": 0.3, "generator/adversarial": 0.9}
    known = {"images": round(kimg * 1000), "kimg": kimg, "size": 16, "seconds": kimg * 2, "images_per_second": 500.0}
    return {**known, "losses": losses, "skipped": 0, **more}


def run_folder(
    path: Path,
    rows: Iterable[dict[str, Any]] = (),
    sheets: Sequence[int] = (),
    options: dict[str, Any] | None = None,
    *,
    train: dict[str, Any] | None = None,
    side: int = 64,
) -> Run:
    """Write a run folder with statistics, and sheets of noise after so many images, `side` px wide. `train` are
    training options."""
    path.mkdir(parents=True)
    entries: dict[str, Any] = {"ganzoo": "0.1.0", "model": "gan", "options": options or {}}
    entries["train"] = {"data": "mnist", "kimg": 100.0, **(train or {})}
    (path / "options.json").write_text(json.dumps(entries))
    (path / "stats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    noise = np.random.default_rng(0)
    for name in ["reals", *(f"samples-{images:09d}" for images in sheets)] if sheets else []:
        Image.fromarray(noise.integers(0, 256, (side, side), np.uint8)).save(path / f"{name}.png")
    return Run(path)
