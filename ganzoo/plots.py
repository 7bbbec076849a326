"""Loss curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganzoo.images import grid_shape


def save_curves(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One panel per loss term over kimg, from the rows of stats.jsonl; dotted lines where the resolution grew."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    terms = sorted({term for row in rows for term in row["losses"]})
    if not terms:
        return
    sizes = [(row["kimg"], row.get("size")) for row in rows]
    growth = [(before[0], after[1]) for before, after in zip(sizes, sizes[1:]) if after[1] != before[1]]
    down, across = grid_shape(len(terms))
    figure = Figure(figsize=(4.2 * across, 2.8 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, term in zip(figure.subplots(down, across, squeeze=False).flat, terms):
        points = [(row["kimg"], row["losses"][term]) for row in rows if term in row["losses"]]
        panel.plot(*zip(*points), marker="." if len(points) < 20 else "", linewidth=1)
        for kimg, size in growth:
            panel.axvline(kimg, color="0.6", linewidth=0.8, linestyle=":")
            panel.annotate(f"{size} px", (kimg, 0.99), xycoords=("data", "axes fraction"), fontsize=6, va="top")
        panel.set_title(term, fontsize=10)
        panel.set_xlabel("kimg", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    for panel in figure.axes[len(terms) :]:
        panel.set_visible(False)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png", dpi=100)
    temporary.replace(path)
