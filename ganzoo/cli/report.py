"""`ganzoo report`: write a page about a run, or one that compares several."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli import completion
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import experiments_option


@click.command(short_help="Write a page about a run, or compare several.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completion.run_names)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="File to write.  [default: report.html in the run's folder, or in this one if several are compared]",
)
@experiments_option
@click.pass_context
def report(ctx: click.Context, runs: tuple[str, ...], out: str | None, experiments: str) -> None:
    """Write a page about a run, the newest one if none is named: its samples over time, curves, numbers and warnings.

    Of several runs, the page shows the curves over each other, the options that differ and the newest samples. It is
    one file that needs no network. `ganzoo train` writes report.html by itself.
    """
    from ganzoo.reports import save_report
    from ganzoo.runs import find

    found = [find(name, Path(experiments)) for name in runs or ("latest",)]
    click.echo(save_report(found, plugin_registry(ctx), out))
