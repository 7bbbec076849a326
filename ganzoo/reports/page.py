"""The HTML of reports. Everything that comes from a run is escaped; the page can't reach a network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ganzoo.reports.facts import RunFacts
from ganzoo.reports.panels import Curve, Panel, panels_of, stage_starts
from ganzoo.reports.pictures import MAX_BYTES, Picture, PictureCache, Sheets, newest_sheet
from ganzoo.reports.thinning import thin_indices

MAX_TABLE_ROWS = 40  # of a curve
MAX_ALL_ROWS = 12_000  # of all tables of curves on a page
MAX_CHECKPOINTS = 100  # marks


def run_page(facts: RunFacts, pictures: PictureCache) -> str:
    """Return the report of a run."""
    reals, sheets = pictures.reals(facts.path), pictures.sheets(facts.path)
    pictures.forget_others(facts.path)
    parts = [
        f"<header><h1>{escape(facts.name)}</h1>",
        f'<p class="state">{escape(facts.model)}, {escape(facts.state)}</p></header>',
        _warnings(facts.warnings),
        _numbers(facts.numbers),
        *_sheet_sections(facts, sheets, reals),
        *_curves(panels_of({facts.name: facts.rows}), facts.recipes, facts),
        "<h2>Options that differ from their defaults</h2>",
        _table(facts.options) or "<p>None.</p>",
        f"<details><summary>All options</summary>{_table(facts.all_options)}</details>",
        "<h2>Environment</h2>",
        _table(facts.environment) or "<p>Unknown.</p>",
    ]
    return _document(facts.name, "\n".join(parts))


def comparison_page(runs: Sequence[RunFacts]) -> str:
    """Return a page with the curves of several runs over each other, their options and newest sheets side by side."""
    names = list(_unique_names([run.path.resolve() for run in runs]))
    newest = [_newest(name, run, MAX_BYTES // len(runs)) for name, run in zip(names, runs)]
    recipes = {name: recipe for run in runs for name, recipe in run.recipes.items()}
    parts = [
        f"<header><h1>{len(runs)} runs</h1></header>",
        *(_warnings([f"{name}: {warning}" for warning in run.warnings]) for name, run in zip(names, runs)),
        _comparison([{**run.numbers, "model": run.model, "state": run.state} for run in runs], names, all_rows=True),
        "<h2>Options that differ</h2>",
        _comparison([run.all_options for run in runs], names) or "<p>None.</p>",
        "<h2>Newest samples</h2>",
        f'<div class="newest">{"".join(newest)}</div>',
        *_curves(panels_of({name: run.rows for name, run in zip(names, runs)}), recipes, order=names),
    ]
    return _document(", ".join(names), "\n".join(parts))


def _unique_names(paths: Sequence[Path]) -> Iterator[str]:
    """Yield a name for each run: that of its folder, with as many parents or the number that tell it from others."""
    names = [path.name for path in paths]
    for depth in (2, 3):
        names = ["/".join(path.parts[-depth:]) if names.count(name) > 1 else name for name, path in zip(names, paths)]
    counts = Counter[str]()
    for name in names:
        counts[name] += 1
        yield name if counts[name] == 1 else f"{name} ({counts[name]})"


def _document(title: str, body: str) -> str:
    style, script = _static("report.css"), _static("report.js")
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def _static(name: str) -> str:
    return (files("ganzoo.reports") / "static" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """Return data for a script element, which ends at '</script' wherever it is."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _warnings(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="warnings" aria-label="Warnings">{items}</ul>' if items else ""


def _numbers(numbers: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in numbers.items())
    return f'<dl class="numbers">{items}</dl>'


def _table(rows: Mapping[str, str]) -> str:
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items()
    )
    return f'<div class="wide"><table>{lines}</table></div>' if lines else ""


def _comparison(runs: Sequence[Mapping[str, str]], names: Sequence[str], all_rows: bool = False) -> str:
    """Return a table with a column for each run, of the rows where they differ."""
    keys = dict.fromkeys(key for run in runs for key in run)
    rows = {key: [run.get(key, "-") for run in runs] for key in keys}
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = "".join(
        f'<tr><th scope="row">{escape(key)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for key, values in rows.items()
        if all_rows or len(set(values)) > 1
    )
    return f'<div class="wide"><table><tr><td></td>{head}</tr>{lines}</table></div>' if lines else ""


def _newest(name: str, run: RunFacts, limit: int) -> str:
    picture = newest_sheet(run.path, limit)
    if picture is None:
        return f"<figure><figcaption>{escape(name)}: no samples</figcaption></figure>"
    caption = escape(f"{name}, {picture.kimg:g} kimg")
    return f'<figure><img alt="Samples of {caption}" src="{picture.url}"><figcaption>{caption}</figcaption></figure>'


def _sheet_sections(facts: RunFacts, sheets: Sequence[Sheets], reals: Picture | None) -> Iterator[str]:
    if not sheets:
        yield "<h2>Samples</h2>\n<p>There are none yet.</p>"
    for each in sheets:
        title = f"Samples: {each.name}" if each.name else "Samples"
        newest, shown = each.pictures[-1], len(each.pictures)
        caption = f"{newest.kimg:g} kimg"
        data = _json([[picture.kimg, picture.url] for picture in each.pictures])
        slider = (
            f'<label class="slider">Training <input type="range" min="0" max="{shown - 1}" value="{shown - 1}" '
            f'aria-label="{escape(title)}" aria-valuetext="{caption}"></label>'
        )
        real = '<figure><img alt="Real images" src="{}"><figcaption>real images</figcaption></figure>'
        yield (
            f'<section class="sheets" data-title="{escape(title)}"><h2>{escape(title)}</h2>'
            f'{slider if shown > 1 else ""}<div class="pair"><figure><img class="sample" '
            f'alt="{escape(title)} at {caption}" src="{newest.url}"><figcaption class="at">{caption}</figcaption>'
            f"</figure>{real.format(reals.url) if reals is not None else ''}</div>"
            + (f"<p>{shown} of {each.count} sheets are shown.</p>" if shown < each.count else "")
            + f'<script type="application/json">{data}</script></section>'
        )


def _curves(
    panels: Sequence[Panel], recipes: Mapping[str, str], marked: RunFacts | None = None, order: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the panels, with the marks of a run if one is given. Curves named in `order` have the colour of their place
    there."""
    yield "<h2>Curves</h2>"
    if not panels:
        yield "<p>There are no statistics yet.</p>"
        return
    yield (
        "<p>Drag to zoom, double-click to reset. With the keyboard: arrow keys read values, + and - zoom, 0 resets.</p>"
    )
    marks = _marks(marked) if marked is not None else []
    yield _key(marks)
    yield f'<script type="application/json" id="marks">{_json(marks)}</script><div class="panels">'
    table_rows = max(2, min(MAX_TABLE_ROWS, MAX_ALL_ROWS // sum(len(panel.curves) for panel in panels)))
    for panel in panels:
        data = [
            {
                "name": curve.name,
                "colour": order.index(curve.name) if curve.name in order else index,
                "points": [[_short(x), _short(y)] for x, y in curve.points],
            }
            for index, curve in enumerate(panel.curves)
        ]
        recipe = recipes.get(panel.title.removeprefix("metric: "), "")
        tables = "".join(_values(curve, table_rows) for curve in panel.curves)
        yield (
            f'<section class="panel"><h3>{escape(panel.title)}</h3>'
            + (f'<p class="recipe">{escape(recipe)}</p>' if recipe else "")
            + f'<div class="chart"></div>'
            f'<script type="application/json">{_json({"title": panel.title, "curves": data})}</script>'
            f"<details><summary>Table</summary>{tables}</details></section>"
        )
    yield "</div>"


def _marks(facts: RunFacts) -> list[dict[str, Any]]:
    """Return what is marked in the curves of a run: where, what kind it is, and what it says."""
    marks = [{"kimg": kimg, "kind": "stage", "label": size} for kimg, size in stage_starts(facts.rows)]
    for index in thin_indices(len(facts.checkpoints), MAX_CHECKPOINTS):
        kimg = facts.checkpoints[index]
        if facts.best is None or kimg != facts.best.kimg:
            marks.append({"kimg": kimg, "kind": "kept", "label": f"checkpoint at {kimg:g} kimg"})
    if (best := facts.best) is not None:
        label = f"best checkpoint, at {best.kimg:g} kimg: {best.name} {best.value:.4g}"
        marks.append({"kimg": best.kimg, "kind": "best", "label": label})
    return marks


def _key(marks: Sequence[Mapping[str, Any]]) -> str:
    """Return the legend of the marks."""
    kinds = {mark["kind"]: mark["label"] for mark in marks}
    signs = {
        "stage": ("┊", "change of the resolution"),
        "kept": ("▲", "checkpoint"),
        "best": ("◆", kinds.get("best", "")),
    }
    items = [
        f'<span><span class="sign {kind}" aria-hidden="true">{sign}</span> {escape(text)}</span>'
        for kind, (sign, text) in signs.items()
        if kind in kinds
    ]
    return f'<p class="marks">{"".join(items)}</p>' if items else ""


def _short(value: float) -> float:
    return float(f"{value:.6g}") if math.isfinite(value) else 0.0


def _values(curve: Curve, limit: int) -> str:
    chosen = [curve.points[index] for index in thin_indices(len(curve.points), limit)]
    name = escape(curve.name or "value")
    rows = "".join(f"<tr><td>{x:g}</td><td>{y:.5g}</td></tr>" for x, y in chosen)
    note = f", {len(chosen)} of {curve.values} values" if len(chosen) < curve.values else ""
    head = f'<tr><th scope="col">kimg</th><th scope="col">{name}</th></tr>'
    return f'<div class="wide"><table><caption>{name}{note}</caption>{head}{rows}</table></div>'
