"""`ganzoo data list` and `ganzoo data check`."""

from __future__ import annotations

import json

import click

from ganzoo.cli import registry
from ganzoo.data import DataSource
from ganzoo.errors import DataError


@click.group()
def data() -> None:
    """List and check data sets."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the data sets that can be named after --data."""
    sources = sorted(registry(ctx).datasets.values(), key=lambda source: source.name)
    if as_json:
        rows = [{"name": source.name, "summary": source.summary, "ready": _ready(source)} for source in sources]
        click.echo(json.dumps(rows, indent=2))
        return
    for source in sources:
        click.echo(f"{source.name:<12} {'ready' if _ready(source) else 'not yet':<8} {source.summary}")
    click.echo("A folder, a .zip or an .lmdb can be given in place of a name.")


def _ready(source: DataSource) -> bool:
    """Whether a set is prepared; a stranger's faulty answer must not stop the listing of all."""
    try:
        return bool(source.ready())
    except Exception:
        return False


@data.command()
@click.argument("name_or_path")
@click.pass_context
def check(ctx: click.Context, name_or_path: str) -> None:
    """Read every image of a data set; count sizes and domains, and name every file that can't be read.

    Exit status 1 if there is an unreadable file.
    """
    from ganzoo.data.catalog import open_data
    from ganzoo.data.checking import examine

    report = examine(open_data(name_or_path, registry(ctx)))
    for line in report.lines():
        click.echo(line)
    if report.bad:
        raise DataError(f"{len(report.bad)} of {report.count} images can't be read; they are named above.")
