"""Results of the benchmark as a picture and as a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BAR_COLOUR, LINE_COLOUR, GOAL_COLOUR = "#2a6fbb", "#c8c8c8", "#d1495b"


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw a bar per row with the speed relative to PyTorch, and a mark at the goal."""
    os.environ["MPLBACKEND"] = "agg"  # a backend that a notebook exports may be unknown here
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.55 * len(results) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{row['model']} {row['size']} px, batch {row['batch']}" for row in results]
    axes.barh(names, [row["ratio"] for row in results], color=BAR_COLOUR, height=0.6)
    for index, row in enumerate(results):
        axes.plot([row["goal"]] * 2, [index - 0.38, index + 0.38], color=GOAL_COLOUR, linewidth=2)
        axes.text(row["ratio"] + 0.03, index, f"{row['ratio']:.2f}", va="center", fontsize=9)
    axes.axvline(1.0, color=LINE_COLOUR, linewidth=2, zorder=0)
    axes.set_xlim(0, max(row["ratio"] for row in results) + 0.5)
    axes.invert_yaxis()
    axes.set_xlabel(
        f"PyTorch's time for a training iteration / ganzoo's, {results[0]['threads']} threads (red: the goal)"
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    head = (
        "| | ganzoo, s | PyTorch, s | ratio | goal | images/s | memory, MiB | ratio | share of peak | first step, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *(_row(row) for row in results)])


def _row(row: dict[str, Any]) -> str:
    layout = ", channels_last" if row["torch_layout"] == "channels_last" else ""
    cold = "" if row["ganzoo_cold_start_s"] is None else f", cold {row['ganzoo_cold_start_s']:.1f}"
    cells = (
        f"{row['model']} {row['size']} px, batch {row['batch']}",
        _time(row["ganzoo_s"], row["ganzoo_spread_s"]),
        _time(row["torch_s"], row["torch_spread_s"]) + layout,
        f"**{row['ratio']:.2f}**",
        f"{row['goal']}",
        f"{row['ganzoo_images_per_s']:,.3g} / {row['torch_images_per_s']:,.3g}",
        f"{row['ganzoo_peak_bytes'] / 2**20:,.0f} / {row['torch_peak_bytes'] / 2**20:,.0f}",
        f"{row['memory_ratio']:.2f}",
        f"{row['ganzoo_share']:.0%} / {row['torch_share']:.0%}",
        f"{row['ganzoo_warm_start_s']:.1f}{cold} / {row['torch_start_s']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _time(median: float, spread: list[float]) -> str:
    return f"{median:.3g} ({spread[0]:.3g} to {spread[1]:.3g})"
