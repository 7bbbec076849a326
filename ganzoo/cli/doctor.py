"""`ganzoo doctor`: check whether this machine can train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry


@click.command(short_help="Check whether this machine can train.")
@click.option(
    "--gpu",
    is_flag=True,
    help="Also train each model for one step on the GPU and on the CPU, and compare the gradients.",
)
@click.pass_context
def doctor(ctx: click.Context, gpu: bool) -> None:
    """Check everything that training needs, and finally run a convolution. The exit status is 1 if training would fail.

    The first time on a machine, this compiles Jittor, which takes minutes; --gpu also compiles the models' kernels.
    Later runs with --gpu take two minutes.
    """
    fatal = False
    for finding in _findings(plugin_registry(ctx) if gpu else None):
        mark = "ok" if not finding.problem else "PROBLEM" if finding.fatal else "note"
        click.echo(f"{mark:<8} {finding.what:<13} {finding.detail}")
        if finding.problem:
            fatal = fatal or finding.fatal
            click.echo(f"{'':<8} {finding.problem} {finding.remedy}".rstrip())
    click.echo("Training would fail; fix the problems above." if fatal else "Ready to train.")
    ctx.exit(1 if fatal else 0)


def _findings(registry: Any) -> Iterator[Any]:
    from ganzoo.backend.doctor import examine

    broken = False
    for finding in examine():
        broken = broken or bool(finding.problem and finding.fatal)
        yield finding
    if registry is not None and not broken:
        from ganzoo.cli.doctor_gpu import compare_devices

        yield from compare_devices(registry)
