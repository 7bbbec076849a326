"""The commands `ganzoo models`, `metrics`, `plugins` and `runs`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import experiments_option
from ganzoo.registry.plugins import EVENTS, KINDS

as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


@click.command()
@as_json
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that can be trained."""
    found = plugin_registry(ctx).models
    if as_json:
        click.echo(
            json.dumps([{"name": m.name, "summary": m.summary, "paper": m.paper} for m in found.values()], indent=2)
        )
        return
    width = _width(found, 12)
    for name, model in sorted(found.items()):
        click.echo(f"{name:<{width}} {model.summary}")


@click.command()
@as_json
@click.pass_context
def metrics(ctx: click.Context, as_json: bool) -> None:
    """List the metrics of `ganzoo evaluate`."""
    found = plugin_registry(ctx).metrics
    if as_json:
        click.echo(json.dumps([{"name": m.name, "summary": m.summary} for m in found.values()], indent=2))
        return
    width = _width(found, 12)
    for name, metric in found.items():
        click.echo(f"{name:<{width}} {metric.summary}")


@click.command(short_help="List the plugins and what they provide.")
@as_json
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the plugins, what each provides, and its problems."""
    found = plugin_registry(ctx).plugins
    if as_json:
        click.echo(json.dumps([{**vars(plugin), "origin": plugin.origin} for plugin in found], indent=2))
        return
    names, origins = _width((each.name for each in found), 20), _width((each.origin for each in found), 24)
    for plugin in found:
        provided = "; ".join(
            f"{kind.replace('_', ' ')}: {', '.join(plugin.provides[kind])}"
            for kind in (*KINDS, EVENTS)
            if plugin.provides.get(kind)
        )
        click.echo(f"{plugin.name:<{names}} {plugin.origin:<{origins}} {provided or '-'}")
        for problem in plugin.problems:
            click.echo(f"{'':<{names}} problem: {problem}")


def _width(texts: Iterable[str], least: int) -> int:
    """Return the width of a column with these texts."""
    return max([least, *map(len, texts)])


@click.command()
@as_json
@experiments_option
def runs(as_json: bool, experiments: str) -> None:
    """List the runs, oldest first."""
    from ganzoo import runs as run_folders

    rows = [_describe(run) for run in run_folders.list_runs(Path(experiments))]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"no runs in {experiments} yet; start one with `ganzoo train MODEL`")
        return
    click.echo(f"{'run':<28} {'kimg':>10} {'of':>8} {'img/s':>7}  state")
    for row in rows:
        speed = "-" if row["images_per_second"] is None else f"{row['images_per_second']:.0f}"
        click.echo(f"{row['run']:<28} {row['kimg']:>10.6g} {row['goal_kimg']:>8g} {speed:>7}  {row['state']}")


def _describe(run: Any) -> dict[str, Any]:
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
        "kimg": kimg,
        "goal_kimg": goal,
        "images_per_second": stats[-1]["images_per_second"] if stats else None,
        "state": state,
        "path": str(run.path),
    }
