"""Plots of losses and metrics."""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

from ganzoo.files import atomic_write
from ganzoo.sampling.sheets import grid_shape


@contextlib.contextmanager
def _default_backend() -> Iterator[None]:
    """Unset MPLBACKEND within the body: if a notebook has exported a backend that this matplotlib doesn't know,
    importing matplotlib fails."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def save_curves(path: Path, rows: Sequence[dict[str, Any]], panels: Mapping[str, str] | None = None) -> None:
    """Plot loss terms and metrics over kimg from the rows of stats.jsonl. Dotted lines show where the resolution grew.

    `panels` maps a title to a name pattern, which selects the terms and logged values drawn together; by default each
    term has its own panel. The metrics, and the numbers of adaptive augmentation, always have panels of their own.
    """
    png = _render(rows, panels or {})
    gc.collect()  # figures have reference cycles, which would use 20 MB during training
    if png:
        atomic_write(path, png)


def _render(rows: Sequence[dict[str, Any]], panels: Mapping[str, str]) -> bytes:
    """Return the plot as PNG; empty bytes if there is nothing to plot."""
    with _default_backend():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    names = {name for row in rows for name in _values(row)}
    contents = _select_terms(panels, names) if panels else {}
    contents = contents or {term: [term] for term in sorted({term for row in rows for term in row["losses"]})}
    contents.update({name: [name] for name in sorted(names) if name.startswith("augmentation/")})
    contents.update({name: [name] for name in sorted({name for row in rows for name in row.get("metrics", {})})})
    if not contents:
        return b""
    nrows, ncols = grid_shape(len(contents)) if not panels else _square_grid(len(contents))
    figure = Figure(figsize=(4.2 * ncols, 2.8 * nrows), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (title, terms) in zip(figure.subplots(nrows, ncols, squeeze=False).flat, contents.items()):
        _draw(panel, title, terms, rows)
    for panel in figure.axes[len(contents) :]:
        panel.set_visible(False)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    return {**row.get("watched", {}), **row["losses"], **row.get("metrics", {})}


def _select_terms(panels: Mapping[str, str], names: set[str]) -> dict[str, list[str]]:
    """Return the names in each panel, without empty panels."""
    matching = {
        title: sorted(name for name in names if fnmatchcase(name, pattern)) for title, pattern in panels.items()
    }
    return {title: terms for title, terms in matching.items() if terms}


def _square_grid(count: int) -> tuple[int, int]:
    columns = math.ceil(count**0.5)
    return -(-count // columns), columns


def _draw(panel: Any, title: str, terms: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Draw one panel: a curve for each term. If there are several, a legend gives their phases."""
    for term in terms:
        points = [(row["kimg"], _values(row)[term]) for row in rows if term in _values(row)]
        panel.plot(*zip(*points), marker="." if len(points) < 20 else "", linewidth=1, label=term.partition("/")[0])
    if len(terms) > 1:
        panel.legend(fontsize=7)
    _mark_growth(panel, rows)
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("kimg", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)


def _mark_growth(panel: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Draw a dotted line where the resolution grew, and label it. A label that would cover an earlier one is drawn
    below it."""
    left, right = panel.get_xlim()
    label_width = 0.13 * (right - left)
    ends: list[float] = []  # of the last label in each line of labels
    sizes = [(row["kimg"], row.get("size")) for row in rows]
    for (kimg, before), (_, after) in itertools.pairwise(sizes):
        if after != before:
            panel.axvline(kimg, color="0.6", linewidth=0.8, linestyle=":")
            line = next((line for line, end in enumerate(ends) if end <= kimg), len(ends))
            ends[line : line + 1] = [kimg + label_width]
            style = {"xycoords": ("data", "axes fraction"), "xytext": (2, -2 - 7 * line), "textcoords": "offset points"}
            panel.annotate(f"{after} px", (kimg, 1), fontsize=6, va="top", **style)
