"""Records of evaluations, as they are stored in the folder of a run.

`ganzoo runs` imports this module, so it imports neither NumPy nor Jittor.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo

RECORDS = "evaluations.jsonl"
Row = tuple[str, ...]
_DAMAGE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records in a file. If a resumed run has repeated an evaluation, only the last record is yielded."""
    found = {}
    for record in _parsed(path):
        recipe = {name: record[name] for name in record.keys() - {"mean", "results"}}
        inputs = [{name: each[name] for name in each.keys() - {"numbers"}} for each in record["results"]]
        found[json.dumps([recipe, inputs], sort_keys=True)] = record
    yield from found.values()


def _parsed(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(errors="replace").splitlines():
        try:
            found = json.loads(line)
            list(table_rows(found))
        except _DAMAGE:
            continue  # incomplete, because the process was killed while writing
        yield found


def table_rows(record: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of a record in the table of all records."""
    backbones = record["recipe"]["backbones"]
    compared = (str(record["subject"]), str(record["against"]))
    for each in record["results"]:
        counts = f"{each['samples']:,}", f"{each['real']:,}"
        for name, value in each["numbers"].items():
            yield (*compared, each["mode"], pair(each), *counts, name, backbones[name], f"{value:.4g}")
    if len(record["results"]) > 1:
        for mode, numbers in record["mean"].items():
            for name, value in numbers.items():
                yield (*compared, mode, "mean", "", "", name, backbones[name], f"{value:.4g}")


def pair(result: Mapping[str, Any]) -> str:
    """Return the pair of domains of a translation, the class of other images, or '' if all classes are compared."""
    return f"{result['source']} to {result['target']}" if result["source"] else str(result["target"])


def recipe_id(metric: str, samples: int, real: int | None, mode: str, backbone: str) -> str:
    """Return the name of a metric with what its value depends on, such as lpips500-latent-alexnet, or, if not all real
    images are used, fid2k-real2k-efficientnet-lite0."""
    some = "" if real is None else f"real{abbreviate_count(real)}"
    return "-".join(filter(None, [metric + abbreviate_count(samples), some, mode, backbone]))


def abbreviate_count(count: int) -> str:
    """Format a count, with multiples of 1000 as in '50k'."""
    return f"{count // 1000}k" if count >= 1000 and count % 1000 == 0 else str(count)


@dataclass(frozen=True)
class Measured:
    """A value of a metric: its short `name` ('fid'), its `recipe_id`, and the evaluation's `record`."""

    name: str
    recipe_id: str
    value: float
    record: Mapping[str, Any]


def measured(folder: Path, data: DataInfo | None) -> list[Measured]:
    """Return the values in the evaluations of a run that was trained on `data`, oldest first: means over pairs of
    domains or classes. Left out are evaluations against other images, and at a smaller size than others, which
    progressive models begin with. If the data are unknown (None, or no images), nothing is known to be other images."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(OSError):
        found = [each for each in read_records(folder / RECORDS) if _is_complete(each)]
    images = None if data is None or data.count == 0 else data.count
    if data is not None and images:
        found = [each for each in found if each["against"] == data.name]
    largest = max((each["size"] for each in found), default=0)
    values: list[Measured] = []
    for record in found:
        if record["size"] == largest:
            with contextlib.suppress(*_DAMAGE):
                values += list(_values(record, images))
    return values


def _is_complete(record: Mapping[str, Any]) -> bool:
    return all(type(record.get(name)) is int for name in ("size", "images")) and bool(record["results"])


def _values(record: Mapping[str, Any], images: int | None) -> Iterator[Measured]:
    for mode, numbers in record["mean"].items():
        first = next((each for each in record["results"] if each["mode"] == mode), record["results"][0])
        some = first["real"] if images is None or first["real"] < images else None
        for name, value in numbers.items():
            backbone = record["recipe"]["backbones"][name]
            yield Measured(name, recipe_id(name, first["samples"], some, mode, backbone), float(value), record)
