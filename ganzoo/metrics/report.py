"""Reports of an evaluation: a record with its full recipe, and tables for files and the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganzoo.files import append_lines, atomic_write
from ganzoo.metrics.comparison import Networks, Result, means
from ganzoo.metrics.records import RECORDS, Row, pair, read_records, table_rows

TABLE = "evaluations.md"


def make_record(about: Mapping[str, Any], networks: Networks, results: Sequence[Result], seed: int) -> dict[str, Any]:
    """Return the numbers and everything that they depend on, ready for JSON. `about` describes what was compared."""
    from ganzoo import __version__, backend

    return {
        **about,
        "recipe": {
            **networks.recipe(),
            "metrics": [metric.name for metric in networks.metrics],
            "backbones": {
                name: networks.backbone_of(each) for each in networks.metrics for name in each.output_names()
            },
            "seed": seed,
            **({"background": "white"} if about.get("channels") == 4 else {}),
            "ganzoo": __version__,
            "environment": backend.describe_environment(),
        },
        "mean": means(results),
        "results": [vars(result) for result in results],
    }


def save(folder: Path, record: Mapping[str, Any]) -> Path:
    """Append a record to those in a folder, rewrite the table of all records, and return the path of the table."""
    folder.mkdir(parents=True, exist_ok=True)  # there is none yet for a model of the zoo or the hub
    append_lines(folder / RECORDS, json.dumps(record) + "\n")
    lines = ["# Evaluations", "", "The recipe of each is in evaluations.jsonl.", ""]
    lines += _markdown([_HEADINGS, *(row for each in read_records(folder / RECORDS) for row in table_rows(each))])
    atomic_write(folder / TABLE, ("\n".join(lines) + "\n").encode())
    return folder / TABLE


_HEADINGS = ("subject", "real images", "mode", "pair", "samples", "real", "metric", "backbone", "value")


def _markdown(rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a record for the terminal: what was compared and how, then a table with a row for each pair of
    domains or each class, or a single row if there are none."""
    recipe, results = record["recipe"], record["results"]
    yield f"{record['subject']} vs. {record['against']}; seed {recipe['seed']}"
    for kind in ("features", "perceptual"):
        if kind in recipe:
            yield f"{kind}: {recipe[kind]['backbone']} ({recipe[kind]['images']})"
    names = list(dict.fromkeys(name for each in results for name in each["numbers"]))
    backbones = [recipe["backbones"][name] for name in names]
    headings = [f"{name} ({backbone})" if backbone else name for name, backbone in zip(names, backbones)]
    paired = bool(results[0]["target"])
    table = [("pair", "samples", "real", *headings) if paired else ("samples", "real", *headings)]
    for mode, numbers in record["mean"].items():
        of_mode = [each for each in results if each["mode"] == mode]
        for each in of_mode:
            counts = (f"{each['samples']:,}", f"{each['real']:,}")
            compared = (f"{mode}: {pair(each)}",) if paired else ()
            table.append((*compared, *counts, *_cells(each["numbers"], names)))
        if paired:
            table.append((f"{mode}: mean", "", "", *_cells(numbers, names)))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        first = row[0].ljust(widths[0]) if paired else row[0].rjust(widths[0])
        yield "  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])


def _cells(numbers: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Format the numbers with the given names; a missing number becomes an empty cell."""
    return [f"{numbers[name]:.4g}" if name in numbers else "" for name in names]
