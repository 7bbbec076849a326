"""The group `ganzoo data`, with its commands `list`, `check`, `prepare` and `download`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.completion import data_names
from ganzoo.cli.data_show import show
from ganzoo.cli.params import labels_option
from ganzoo.data.catalog import destination, is_ready, open_data, prepared
from ganzoo.errors import DataError, format_count, printable
from ganzoo.files import format_bytes
from ganzoo.interfaces.dataset import FITS, Dataset

MAX_SHOWN = 20  # unreadable files to print; if there are more, a file lists them all


class Data(click.Group):
    """The group `ganzoo data`: its own subcommands, and those added by plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *plugin_registry(ctx).data_commands})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, name) or plugin_registry(ctx).data_commands.get(name)


@click.group(cls=Data)
def data() -> None:
    """List, show, check and prepare data sets."""


data.add_command(show)


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the data sets that can be passed to --data by name."""
    sources = plugin_registry(ctx).datasets
    found = {name: (source.summary, is_ready(source)) for name, source in sources.items()}
    found |= {name: (f"prepared: {path}", True) for name, path in prepared().items() if name not in sources}
    # A validation set belongs to its data set, and is not listed on its own.
    found = {name: each for name, each in found.items() if name.removesuffix("-val") not in found.keys() - {name}}
    if as_json:
        rows = [{"name": name, "summary": summary, "ready": ready} for name, (summary, ready) in sorted(found.items())]
        click.echo(json.dumps(rows, indent=2))
        return
    for name, (summary, ready) in sorted(found.items()):
        click.echo(printable(f"{name:<12} {'ready' if ready else 'not yet':<8} {summary}"))
    click.echo("--data also accepts a folder, .zip, .lmdb, .tar, .parquet, .npy, .npz or IDX file.")


@data.command(short_help="Read every image of a data set, and list unreadable ones.")
@click.argument("name_or_path", shell_complete=data_names)
@labels_option
@click.pass_context
def check(ctx: click.Context, name_or_path: str, labels: str | None) -> None:
    """Read every image of a data set, count sizes and domains, and list unreadable files and what --labels accepts.

    The exit status is 1 if a file is unreadable.
    """
    from ganzoo.data.checking import check_dataset

    bad = count = 0
    split: Dataset | None = open_data(name_or_path, plugin_registry(ctx), labels=labels)
    while split is not None:
        report = check_dataset(split)
        bad, count = bad + len(report.unreadable), count + report.count
        for line in report.lines():
            click.echo(line)
        split = split.validation()
    if bad:
        raise DataError(f"{bad:,} of {format_count(count, 'image')} can't be read; they are listed above.")


@data.command(short_help="Store all images of a data set, scaled, in one LMDB or file.")
@click.argument("source", shell_complete=data_names)
@click.option("--out", metavar="NAME", help="Name of the new data set for --data, or a path: x.lmdb, x.zip, x.parquet.")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Build the data set SOURCE (such as `emoji`) from this file or folder. Repeatable; makes --out optional.",
)
@click.option(
    "--sizes",
    metavar="PX",
    help="Powers of two, e.g. 8-128, 64 or 8,32,128.  [default: from 8 to the size of most images; .zip and .parquet: "
    "only that size]",
)
@click.option("--lossless", is_flag=True, help="Store PNG instead of JPEG of quality 100.")
@click.option(
    "--fit",
    type=click.Choice(FITS),
    help="How images become square: crop uses the centre, pad the whole image on white, stretch distorts it.  "
    "[default: crop, or as SOURCE was prepared]",
)
@click.option(
    "--alpha", is_flag=True, help="Keep transparency, as PNG with four channels; otherwise it is drawn over white."
)
@click.option(
    "--flip/--no-flip", default=None, help="Whether training may mirror the images.  [default: taken from SOURCE]"
)
@labels_option
@click.option("--workers", type=click.IntRange(min=1), help="Number of worker processes.  [default: one per core]")
@click.pass_context
def prepare(
    ctx: click.Context,
    source: str,
    out: str | None,
    files: tuple[Path, ...],
    sizes: str | None,
    lossless: bool,
    fit: str | None,
    alpha: bool,
    flip: bool | None,
    labels: str | None,
    workers: int | None,
) -> None:
    """Store all images of SOURCE (a name, a folder or a file), scaled to several sizes, in one LMDB; or at one size in
    a .zip, as StyleGAN3 reads it, or a .parquet, as Hugging Face's `datasets` reads it.

    The validation images of SOURCE (in val/ next to train/) go into a second one, NAME-val.lmdb. Unreadable files are
    left out, and listed at the end. To continue an LMDB after an interruption, run the same command again.
    """
    from ganzoo.data import preparing
    from ganzoo.data.labelling import with_labels

    chosen_sizes = None if sizes is None else preparing.parse_sizes(sizes)
    if out is None and not files:
        raise click.UsageError("Missing option '--out', a name for the new data set; it is optional only with --from.")
    registry = plugin_registry(ctx)
    dataset = registry.dataset(source).from_files(files) if files else None
    out = registry.dataset(source).name if out is None else out
    path = destination(out, registry)
    if dataset is None:
        dataset = open_data(source, registry, labels=labels)
    elif labels is not None:
        dataset = with_labels(dataset, labels)
    if alpha:
        dataset = dataset.with_alpha()
    if chosen_sizes is None:
        chosen_sizes, why = preparing.suggest_sizes(dataset, path)
        click.echo(why)
    result = preparing.prepare(
        dataset,
        path,
        chosen_sizes,
        lossless=lossless,
        flip=flip,
        fit=fit,
        workers=workers,
        say=click.echo,
    )
    for summary in (result.validation, result):
        if summary is None:
            continue
        list_bad(summary.bad, summary.path.with_name(f"{summary.path.name}.unreadable.txt"))
        click.echo(
            f"{summary.path}: {format_count(summary.count, 'image')} at {preparing.format_sizes(summary.sizes)}, "
            f"{format_bytes(summary.bytes)}, {summary.images_per_second:,.0f} img/s"
        )
    name = out if prepared().get(out) == path else path
    click.echo(f"Train with: ganzoo train MODEL --data {shlex.quote(str(name))}")


@data.command(short_help="Download a data set from its official source.")
@click.argument("name")
@click.option("--url", metavar="URL", help="URL of the zip.  [default: the official one]")
@click.pass_context
def download(ctx: click.Context, name: str, url: str | None) -> None:
    """Download the data set NAME (such as `afhq` or `celeba-hq`) from its official source, as a zip that needs no
    unpacking.

    To continue after an interruption, run the same command again. The zip is checked before it gets its final name.
    """
    from ganzoo.data.downloading import download_dataset

    download_dataset(name, plugin_registry(ctx), url, say=click.echo)


def list_bad(messages: list[str], file: Path, verb: str = "read") -> None:
    """Print the messages about images that were left out, then their count, as in "3 images can't be read ..." for the
    `verb` "read". If there are more than MAX_SHOWN, print only the first ones, and write all of them to `file`."""
    if not messages:
        return
    for message in messages[:MAX_SHOWN]:
        click.echo(f"    {message}")
    were = "was" if len(messages) == 1 else "were"
    summary = f"{format_count(len(messages), 'image')} can't be {verb} and {were} left out."
    click.echo(summary, nl=len(messages) <= MAX_SHOWN)
    if len(messages) > MAX_SHOWN:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{message}\n" for message in messages), "utf-8", "backslashreplace")
        click.echo(f" All are listed in {file}.")
