"""What the metrics of a run were measured with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.metrics.records import Measured, measured

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo


def metric_recipes(folder: Path, data: DataInfo | None) -> dict[str, str]:
    """Return how each metric was measured, as in '2,000 generated and 10,000 real images of 32 px, backbone alexnet',
    by its full name."""
    return {each.recipe_id: _describe(each) for each in measured(folder, data)}


def _describe(value: Measured) -> str:
    record = value.record
    results = [each for each in record["results"] if value.name in each["numbers"]]
    matching = [each for each in results if not each["mode"] or f"-{each['mode']}" in value.recipe_id]
    result = (matching or results or record["results"])[0]
    real = f" and {result['real']:,} real" if result["real"] else ""
    each_pair = " for each pair of domains" if result["source"] else ""
    backbone = record["recipe"]["backbones"][value.name]
    text = f"{result['samples']:,} generated{real} images of {record['size']} px{each_pair}"
    return f"{text}, backbone {backbone}" if backbone else text
