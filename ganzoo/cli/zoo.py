"""`ganzoo zoo`: list the trained models that plugins bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ganzoo.checkpoints.zoo import PREFIX, describe
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.listing import as_json
from ganzoo.errors import GanzooError, format_count, printable
from ganzoo.files import format_bytes
from ganzoo.interfaces.dataset import COLOURS
from ganzoo.interfaces.options import format_value

if TYPE_CHECKING:
    from ganzoo.interfaces.zoo import ZooModel

HEADINGS = ("name", "model", "px", "data", "MB", "metric")


@click.command(short_help="List the trained models that plugins bring.")
@click.argument("name", required=False)
@as_json
@click.pass_context
def zoo(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """List the trained models that plugins bring, or show the card of one of them: what it was trained on and how, its
    metrics, and the licences.

    `zoo:NAME` stands for a run in every command that generates, evaluates or exports.
    """
    registry = plugin_registry(ctx)
    if name is not None:
        entry = describe(registry.zoo_model(name.removeprefix(PREFIX)))
        click.echo(json.dumps(entry, indent=2) if as_json else "\n".join(_card(entry)))
        return
    entries = [registry.zoo_models[each] for each in sorted(registry.zoo_models)]
    if as_json:
        click.echo(json.dumps([describe(each) for each in entries], indent=2))
    elif not entries:
        click.echo("no plugin brings a trained model")
    else:
        click.echo("\n".join(_table(entries)))


def _table(entries: list[ZooModel]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for entry in entries:
        try:
            known = describe(entry)
        except GanzooError as error:
            rows.append((entry.name, "-", "-", "-", "-", f"problem: {error}"))
            continue
        metric = next((_measured(*each) for each in known["metrics"].items()), "-")
        size = f"{known['bytes'] / 1e6:.1f}"
        rows.append((entry.name, known["model"], str(known["size"]), known["data"], size, metric))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        cells = (
            cell.rjust(width) if heading in ("px", "MB") else cell.ljust(width)
            for heading, cell, width in zip(HEADINGS, row, widths)
        )
        yield printable("  ".join(cells).rstrip())


def _card(known: dict[str, Any]) -> Iterator[str]:
    names = known["domains"]
    domains = f", {format_count(len(names), 'domain')}" if names else ""
    options = {name.replace("_", "-"): value for name, value in known["options"].items() if value is not None}
    facts = [
        ("model", f"{known['model']}, {known['size']} px, {COLOURS[known['channels']]}"),
        ("data", f"{known['data']}{domains}"),
        ("data licence", known["data_license"]),
        ("trained", f"{known['kimg']:g} kimg"),
        ("recipe", known["recipe"]),
        *(("metric", _measured(*each)) for each in known["metrics"].items()),
        ("licence", known["license"]),
        ("file", f"{known['file']} ({format_bytes(known['bytes'])})"),
        ("SHA-256", known["sha256"]),
        ("picture", known["picture"] or "-"),
        ("options", ", ".join(f"{name} {format_value(value)}" for name, value in options.items())),
        ("use", known["usage"]),
    ]
    yield printable(f"{known['name']}: {known['summary']}")
    for label, text in facts:
        yield f"  {label:<13} {printable(text)}"


def _measured(name: str, value: float) -> str:
    return f"{name} {value:.4g}"
