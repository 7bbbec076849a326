"""The commands `ganzoo models`, `metrics` and `plugins`."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from ganzoo.cli.commands import plugin_registry
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
    width = column_width(found, 12)
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
    width = column_width(found, 12)
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
    names, origins = column_width((each.name for each in found), 20), column_width((each.origin for each in found), 24)
    for plugin in found:
        provided = "; ".join(
            f"{kind.replace('_', ' ')}: {', '.join(plugin.provides[kind])}"
            for kind in (*KINDS, EVENTS)
            if plugin.provides.get(kind)
        )
        click.echo(f"{plugin.name:<{names}} {plugin.origin:<{origins}} {provided or '-'}")
        for problem in plugin.problems:
            click.echo(f"{'':<{names}} problem: {problem}")


def column_width(texts: Iterable[str], least: int) -> int:
    """Return the width of a column with these texts."""
    return max([least, *map(len, texts)])
