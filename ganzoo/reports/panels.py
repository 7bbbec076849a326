"""The curves of a report: which are drawn together, and their points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.reports.thinning import MAX_BUCKETS, Point, thin_curve
from ganzoo.runs import measured_values

MAX_POINTS = 60_000  # of all curves on a page: about 1 MB; a curve has at least 4
SPEED = "images per second"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Curve:
    """Points (kimg, value) in the order of training. `values` is how many there were before thinning."""

    name: str
    points: Sequence[Point]
    values: int


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes."""

    title: str
    curves: Sequence[Curve]


def panels_of(runs: Mapping[str, Rows]) -> list[Panel]:
    """Return the panels of the statistics of runs, by name: metrics, losses by phase, logged values, speed. The curves
    of several runs are drawn over each other and named after their runs."""
    found: dict[str, dict[str, list[Point]]] = {}
    for run, rows in runs.items():
        for row in rows:
            values = {**measured_values(row), SPEED: row["images_per_second"]}
            for name, value in values.items():
                title, curve = _place(name, alone=len(runs) > 1)
                label = " ".join(filter(None, [run, curve])) if len(runs) > 1 else curve
                found.setdefault(title, {}).setdefault(label, []).append((row["kimg"], value))
    count = sum(map(len, found.values()))
    buckets = max(1, min(MAX_BUCKETS, MAX_POINTS // (2 * max(count, 1)) - 1))
    return [
        Panel(title, [Curve(name, thin_curve(curves[name], buckets), len(curves[name])) for name in curves])
        for title, curves in sorted(found.items(), key=lambda item: (_rank(item[0]), item[0]))
    ]


def stage_starts(rows: Rows) -> list[tuple[float, str]]:
    """Return where the resolution changed: the kimg of the last tick before, and the new resolution."""
    sizes = [(row["kimg"], row["size"]) for row in rows if isinstance(row.get("size"), int)]
    return [(kimg, f"{after} px") for (kimg, before), (_, after) in itertools.pairwise(sizes) if after != before]


def _place(name: str, alone: bool) -> tuple[str, str]:
    """Return the title of a value's panel, and the name of its curve there. A value may have to be `alone`."""
    group, _, rest = name.partition("/")
    if name == SPEED:
        return "speed (img/s)", "" if alone else SPEED
    if group == "metrics":
        return f"metric: {rest}", "" if alone else rest
    if alone:
        return (f"loss: {rest}" if group == "losses" else rest), ""
    if group == "losses":
        phase, _, term = rest.rpartition("/")
        return f"losses: {phase or rest}", term
    if "/gradient_norm/" in rest:
        return "gradient norms", rest.replace("/gradient_norm/", ": ")
    return rest, rest


def _rank(title: str) -> int:
    starts = ("metric: ", "losses: ", "loss: ")
    found = [index for index, start in enumerate(starts) if title.startswith(start)]
    return found[0] if found else len(starts) + (title.startswith("speed"))
