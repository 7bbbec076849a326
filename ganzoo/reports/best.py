"""The best checkpoint of a run, which training keeps: see --keep-best."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganzoo.runs import measured_values

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry

METRICS = "metrics/"


@dataclass(frozen=True)
class Best:
    """The best checkpoint, and the statistic by which it is the best, with its value."""

    kimg: float
    name: str
    value: float


def best_checkpoint(
    train: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], saved: Sequence[int], registry: Registry | None
) -> Best | None:
    """Return the best of the checkpoints `saved` after so many images. None if the statistics don't say which one it
    is, or if it is unknown whether higher values are better."""
    wanted = train.get("keep_best") or (_first_metric(rows) if train.get("evaluate_every") else None)
    if not isinstance(wanted, str) or (highest := _higher_is_better(wanted, registry)) is None:
        return None
    values = {row["images"]: measured_values(row).get(wanted) for row in rows}
    found = [(value, images) for images in saved if (value := values.get(images)) is not None]
    if not found:
        return None
    value, images = (max if highest else min)(found, key=lambda each: each[0])
    return Best(images / 1000, wanted.partition("/")[2], value)


def _first_metric(rows: Sequence[Mapping[str, Any]]) -> str | None:
    return next((METRICS + name for row in rows for name in row.get("metrics", {})), None)


def _higher_is_better(wanted: str, registry: Registry | None) -> bool | None:
    """Return whether the highest value of a statistic is the best; None if that is unknown."""
    if not wanted.startswith(METRICS):
        return False
    for metric in registry.metrics.values() if registry is not None else ():
        for name in metric.output_names():
            if is_recipe_of(name, wanted[len(METRICS) :]):
                return name in metric.higher_is_better
    return None


def is_recipe_of(metric: str, recipe_id: str) -> bool:
    """Return whether a name such as fid2k-efficientnet-lite0 is that of a metric such as fid."""
    return re.fullmatch(rf"{re.escape(metric)}\d+k?(-.*)?", recipe_id) is not None
