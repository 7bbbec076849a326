"""The card that a notebook shows of a run."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Protocol

from ganzoo.checkpoints.description import Lineage
from ganzoo.interfaces.dataset import DataInfo

MAX_BYTES = 4 << 20  # of a picture


class RunFacts(Protocol):
    """What the card shows of a loaded run."""

    @property
    def path(self) -> Path: ...
    @property
    def checkpoint(self) -> Path: ...
    @property
    def model(self) -> str: ...
    @property
    def data(self) -> DataInfo: ...
    @property
    def kimg(self) -> float: ...
    @property
    def lineage(self) -> Lineage | None: ...


def card(run: RunFacts) -> str:
    """Return a run's facts, newest samples and curves as HTML."""
    facts = {
        "model": run.model,
        "data": f"{run.data.name}, {run.data.size} px",
        "trained": f"{run.kimg:g} kimg",
        **({"started from": f"{run.lineage.name}, {run.lineage.kimg:g} kimg"} if run.lineage else {}),
        "checkpoint": run.checkpoint.name,
    }
    rows = "".join(f"<tr><td>{name}</td><td>{html.escape(value)}</td></tr>" for name, value in facts.items())
    samples = max(run.path.glob("samples-*.png"), default=None)
    beside = run.checkpoint.with_suffix(".png")  # of a model of the zoo
    pictures = "".join(map(_inline, filter(None, [samples, run.path / "losses.png", beside])))
    return f"<b>{html.escape(run.path.name)}</b><table>{rows}</table>{pictures}"


def _inline(path: Path) -> str:
    """Return a picture as an HTML element; '' if it is missing or too large."""
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError:
        return ""
    encoded = base64.b64encode(content).decode()
    return (
        f'<p><img alt="{path.stem}" style="max-width: 100%" src="data:image/png;base64,{encoded}"></p>'
        if content
        else ""
    )
