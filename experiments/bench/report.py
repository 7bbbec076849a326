"""Draws the results of the benchmark as a picture, and formats them as a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BAR_COLOUR, LINE_COLOUR, GOAL_COLOUR = "#2a6fbb", "#c8c8c8", "#d1495b"


Result = dict[str, Any]
PRECISIONS = {"fp32": "float32", "tf32": "TF32", "amp": "bfloat16"}


def groups(results: list[Result]) -> dict[str, list[Result]]:
    """Group the results by processor and precision. Results of different groups must not be compared."""
    found: dict[str, list[Result]] = {}
    for result in results:
        instructions = f" ({', '.join(result['instruction_sets'])})" if result["device"] == "cpu" else ""
        where = result.get("gpu") or f"{result['processor']}{instructions}, {result['threads']} threads"
        found.setdefault(f"{PRECISIONS[result['precision']]} on both sides, {where}", []).append(result)
    return found


def draw(results: list[Result], path: Path) -> None:
    """Draw a bar per row with the speed relative to PyTorch, and a mark at the goal."""
    os.environ["MPLBACKEND"] = "agg"  # a backend that a notebook exports may be unknown here
    from matplotlib.figure import Figure

    panels = groups(results)
    heights = [len(rows) + 1.5 for rows in panels.values()]
    figure = Figure(figsize=(8, 0.45 * sum(heights) + 0.8), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for title, axis in zip(panels, axes):
        _draw_panel(axis, title, panels[title])
    axes[-1].set_xlim(0, max(row["ratio"] for row in results) + 0.5)
    axes[-1].set_xlabel("PyTorch's time for a training iteration / ganzoo's (red: the goal)")
    figure.savefig(path, dpi=110)


def _draw_panel(axes: Any, title: str, results: list[Result]) -> None:
    names = [f"{row['model']} {row['size']} px, batch {row['batch']}" for row in results]
    axes.barh(names, [row["ratio"] for row in results], color=BAR_COLOUR, height=0.6)
    for index, row in enumerate(results):
        axes.plot([row["goal"]] * 2, [index - 0.38, index + 0.38], color=GOAL_COLOUR, linewidth=2)
        axes.text(max(row["ratio"], row["goal"]) + 0.03, index, f"{row['ratio']:.2f}", va="center", fontsize=9)
    axes.axvline(1.0, color=LINE_COLOUR, linewidth=2, zorder=0)
    axes.invert_yaxis()
    axes.set_title(title.replace(", ", ",\n", 1), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def tables(results: list[Result]) -> str:
    """Return the results as Markdown, with a table per processor and precision."""
    return "\n\n".join(f"### {title}\n\n{_table(rows)}" for title, rows in groups(results).items())


def _table(results: list[Result]) -> str:
    head = (
        "| | ganzoo, s | PyTorch, s | ratio | goal | floor, s | images/s | memory, MiB | ratio | share of peak "
        "| first step, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *(_row(row) for row in results)])


def _row(row: Result) -> str:
    layout = ", channels_last" if row["torch_layout"] == "channels_last" else ""
    cold = "" if row["ganzoo_cold_start_s"] is None else f", cold {row['ganzoo_cold_start_s']:.1f}"
    cells = (
        f"{row['model']} {row['size']} px, batch {row['batch']}",
        _time(row["ganzoo_s"], row["ganzoo_spread_s"]),
        _time(row["torch_s"], row["torch_spread_s"]) + layout,
        f"**{row['ratio']:.2f}**",
        f"{row['goal']}",
        f"{row['floor_s']:.2g}",
        f"{row['ganzoo_images_per_s']:,.3g} / {row['torch_images_per_s']:,.3g}",
        f"{row['ganzoo_peak_bytes'] / 2**20:,.0f} / {row['torch_peak_bytes'] / 2**20:,.0f}",
        f"{row['memory_ratio']:.2f}",
        f"{row['ganzoo_share']:.0%} / {row['torch_share']:.0%}",
        f"{row['ganzoo_warm_start_s']:.1f}{cold} / {row['torch_start_s']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _time(median: float, spread: list[float]) -> str:
    return f"{median:.3g} ({spread[0]:.3g} to {spread[1]:.3g})"
