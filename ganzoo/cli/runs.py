"""`ganzoo runs`: list the runs, sorted by any of their columns."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.listing import as_json, column_width
from ganzoo.cli.params import experiments_option
from ganzoo.errors import OptionError, did_you_mean

METRICS = "metrics/"
COLUMNS = ("run", "model", "data", "date", "kimg", "goal_kimg", "images_per_second", "state")
SHOWN = ("run", "kimg", "goal_kimg", "images_per_second", "state")  # always in the table
LARGEST_FIRST = ("date", "kimg", "goal_kimg", "images_per_second")

Row = dict[str, Any]


@click.command()
@as_json
@click.option(
    "--sort",
    metavar="COLUMN",
    shell_complete=lambda ctx, param, incomplete: _complete_column(ctx, incomplete),
    help=f"Sort by {', '.join(COLUMNS)}, or a metric such as {METRICS}fid: the newest, the largest number or the best "
    "value first.",
)
@experiments_option
@click.pass_context
def runs(ctx: click.Context, as_json: bool, sort: str | None, experiments: str) -> None:
    """List the runs, oldest first.

    A metric is the best value in the run's evaluations at its full size, against its training data.
    """
    from ganzoo import runs as run_folders

    found = run_folders.list_runs(Path(experiments))
    rows = [_describe(run) for run in found]
    higher, names = set(), {}  # outputs whose higher values are better; the short name of each metric by its full name
    if as_json or sort is not None:
        higher = {name for metric in plugin_registry(ctx).metrics.values() for name in metric.higher_is_better}
        for run, row in zip(found, rows):
            names.update(_add_metrics(row, run, higher))
    column = sort
    if sort is not None:
        column = sort if sort in COLUMNS else _metric_column(sort, names)
        rows = _sorted(rows, column, column in LARGEST_FIRST or names.get(column) in higher)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        _print_table(rows, column)
    else:
        click.echo(f"no runs in {experiments} yet; start one with `ganzoo train MODEL`")


def _describe(run: Any) -> Row:
    from ganzoo.checkpoints import checkpoint
    from ganzoo.errors import RunError
    from ganzoo.training import due

    try:
        description = run.description()
        train = description.train or {}
        goal = float(train["kimg"])
    except (RunError, KeyError, TypeError, ValueError, OverflowError):
        return {
            "run": run.path.name,
            "model": None,
            "kimg": 0.0,
            "goal_kimg": 0.0,
            "images_per_second": None,
            "state": "damaged",
            "from": None,
        }
    stats = run.stats()
    kimg = stats[-1]["kimg"] if stats else 0.0
    outcome = run.outcome()
    ended = outcome if outcome in ("failed", "killed", "crashed") else "stopped"
    # Judge by the newest checkpoint, not by the statistics: the last step may have diverged or not been saved.
    newest = checkpoint.newest(run.path)
    reached = newest is not None and checkpoint.images_seen(newest) >= due.whole_images(goal)
    state = "running" if run.in_use() else "finished" if reached else ended
    return {
        "run": run.path.name,
        "model": description.model,
        "data": train.get("data"),
        "date": _date(description.saved),
        "kimg": kimg,
        "goal_kimg": goal,
        "images_per_second": stats[-1]["images_per_second"] if stats else None,
        "state": state,
        "from": description.lineage.name if description.lineage else None,
        "path": str(run.path),
    }


def _date(seconds: float | None) -> str | None:
    """Return when a run was started or last continued, in local time; None if that is unknown."""
    try:
        return None if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return None


def _add_metrics(row: Row, run: Any, higher: Collection[str]) -> dict[str, str]:
    """Add a run's best values of its metrics to its row, and return the short name of each by its full name."""
    from ganzoo.errors import RunError
    from ganzoo.metrics.records import measured

    try:
        data = run.description().data
    except RunError:
        data = None
    found = [each for each in measured(run.path, data) if math.isfinite(each.value)]
    best: dict[str, float] = {}
    for each in found:
        choose = max if each.name in higher else min
        best[each.recipe_id] = choose(each.value, best.get(each.recipe_id, each.value))
    row["metrics"] = best
    return {f"{METRICS}{each.recipe_id}": each.name for each in found}


def _complete_column(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from ganzoo import runs as run_folders

    names: set[str] = set()
    for run in run_folders.list_runs(Path(ctx.params.get("experiments") or "experiments")):
        names.update(_add_metrics({}, run, ()))
    return [CompletionItem(name) for name in [*COLUMNS, *sorted(names)] if name.startswith(incomplete)]


def _metric_column(wanted: str, names: Mapping[str, str]) -> str:
    """Return the full name of a column that the user names. OptionError if there is no such column, or if a short name
    stands for several metrics, which can't be compared."""
    found = [wanted] if wanted in names else [full for full, short in names.items() if wanted == METRICS + short]
    if len(found) == 1:
        return found[0]
    if found:
        raise OptionError(
            f"--sort {wanted}: the runs have several that can't be compared; name one of {', '.join(sorted(found))}."
        )
    known = [*COLUMNS, *sorted(names)]
    hint = did_you_mean(wanted, [*known, *(METRICS + short for short in names.values())])
    raise OptionError(f"--sort {wanted}: there is no such column.{hint} Available: {', '.join(known)}.")


def _sorted(rows: list[Row], column: str, descending: bool) -> list[Row]:
    """Sort by a column. Rows without a value come last; equal ones keep their order."""
    known = [row for row in rows if _value(row, column) is not None]
    known.sort(key=lambda row: _value(row, column), reverse=descending)
    return known + [row for row in rows if _value(row, column) is None]


def _value(row: Row, column: str) -> Any:
    if column.startswith(METRICS):
        return row["metrics"].get(column[len(METRICS) :])
    value = row.get(column)
    return str(value) if column in ("model", "data") and value is not None else value


def _print_table(rows: list[Row], column: str | None) -> None:
    extra = column if column is not None and column not in SHOWN else None
    width = column_width((row["run"] for row in rows), 28)
    cells = {row["run"]: _cell(row, extra) for row in rows} if extra else {}
    last = column_width([extra, *cells.values()], 0) if extra else 0
    heading = f"{'run':<{width}} {'kimg':>10} {'of':>8} {'img/s':>7}  {'state':<8}"
    click.echo(f"{heading}  {extra:>{last}}" if extra else heading.rstrip())
    for row in rows:
        speed = "-" if row["images_per_second"] is None else f"{row['images_per_second']:.0f}"
        line = f"{row['run']:<{width}} {row['kimg']:>10.6g} {row['goal_kimg']:>8g} {speed:>7}  {row['state']:<8}"
        shown = f"{line}  {cells[row['run']]:>{last}}" if extra else line.rstrip()
        click.echo(f"{shown}, from {row['from']}" if row["from"] else shown)


def _cell(row: Row, column: str) -> str:
    value = _value(row, column)
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
