"""`ganzoo data list`, `ganzoo data check` and `ganzoo data prepare`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganzoo.cli import registry
from ganzoo.data.catalog import destination, open_data, prepared, ready
from ganzoo.errors import DataError

SHOWN = 20  # unreadable files; of more, a list is written


@click.group()
def data() -> None:
    """List, check and prepare data sets."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the data sets that can be named after --data."""
    sources = registry(ctx).datasets
    found = {name: (source.summary, ready(source)) for name, source in sources.items()}
    found |= {name: (f"prepared: {path}", True) for name, path in prepared().items() if name not in sources}
    if as_json:
        rows = [{"name": name, "summary": summary, "ready": there} for name, (summary, there) in sorted(found.items())]
        click.echo(json.dumps(rows, indent=2))
        return
    for name, (summary, there) in sorted(found.items()):
        click.echo(f"{name:<12} {'ready' if there else 'not yet':<8} {summary}")
    click.echo("A folder, a .zip or an .lmdb can be given in place of a name.")


@data.command()
@click.argument("name_or_path")
@click.pass_context
def check(ctx: click.Context, name_or_path: str) -> None:
    """Read every image of a data set; count sizes and domains, and name every file that can't be read.

    Exit status 1 if there is an unreadable file.
    """
    from ganzoo.data.checking import examine

    report = examine(open_data(name_or_path, registry(ctx)))
    for line in report.lines():
        click.echo(line)
    if report.bad:
        raise DataError(f"{len(report.bad)} of {report.count} images can't be read; they are named above.")


@data.command()
@click.argument("source")
@click.option("--out", required=True, metavar="NAME", help="A name to use after --data from then on, or a path.")
@click.option("--sizes", metavar="PX", help="Powers of two: 8-128, 64 or 8,32,128.  [default: 8 to the images' size]")
@click.option("--lossless", is_flag=True, help="Store PNG in place of JPEG of quality 100.")
@click.option("--flip/--no-flip", default=None, help="Images may be mirrored.  [default: as SOURCE says]")
@click.option("--no-domains", is_flag=True, help="Sub-folders of SOURCE are no labels.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at work.  [default: one per core]")
@click.pass_context
def prepare(
    ctx: click.Context,
    source: str,
    out: str,
    sizes: str | None,
    lossless: bool,
    flip: bool | None,
    no_domains: bool,
    workers: int | None,
) -> None:
    """Scale all images of SOURCE (a name, a folder, a .zip or an .lmdb) to several sizes, into one LMDB.

    Unreadable files are left out, and listed at the end. If the command is interrupted, the same one continues it.
    """
    from ganzoo.data import preparing

    wanted = preparing.parse_sizes(sizes) if sizes else None
    path = destination(out, registry(ctx))
    dataset = open_data(source, registry(ctx))
    made = preparing.prepare(
        dataset,
        path,
        wanted or preparing.default_sizes(dataset.info.size),
        lossless=lossless,
        flip=flip,
        domains=not no_domains,
        workers=workers,
        say=click.echo,
    )
    _list_bad(made.bad, path.with_name(f"{path.name}.unreadable.txt"))
    click.echo(
        f"{path}: {made.count:,} images at {preparing.sizes_in_words(made.sizes)}, {preparing.amount(made.bytes)}, "
        f"{made.images_per_second:,.0f} img/s"
    )
    name = out if prepared().get(out) == path else path
    click.echo(f"Train with: ganzoo train MODEL --data {name}")


def _list_bad(bad: list[str], file: Path) -> None:
    if not bad:
        return
    for message in bad[:SHOWN]:
        click.echo(f"    {message}")
    click.echo(f"{len(bad):,} images can't be read and were left out.", nl=len(bad) <= SHOWN)
    if len(bad) > SHOWN:
        file.write_text("".join(f"{message}\n" for message in bad))
        click.echo(f" All are named in {file}.")
