"""`ganzoo doctor`: check whether this machine can train."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from ganzoo.cli.commands import plugin_registry

if TYPE_CHECKING:
    from ganzoo.backend.checks import Finding


@click.command(short_help="Check whether this machine can train.")
@click.option(
    "--gpu",
    is_flag=True,
    help="Also train each model for one step on the GPU and on the CPU, and compare the gradients.",
)
@click.pass_context
def doctor(ctx: click.Context, gpu: bool) -> None:
    """Check everything that training needs, and finally run a convolution. The exit status is 1 if training would fail,
    or if --gpu finds a problem.

    The first time on a machine, this compiles Jittor, which takes minutes; --gpu also compiles the models' kernels.
    Later runs with --gpu take two minutes.
    """
    from ganzoo.backend.doctor import examine

    registry = plugin_registry(ctx) if gpu else None
    conclusion, failed = "Ready to train.", _report(examine())
    if failed:
        conclusion = "Training would fail; fix the problems above."
    elif registry is not None:
        from ganzoo.cli.doctor_gpu import compare_devices

        failed = _report(compare_devices(registry))
        if failed:
            conclusion = "This machine can train, but the comparison of GPU and CPU found the problems above."
    click.echo(conclusion)
    ctx.exit(1 if failed else 0)


def _report(findings: Iterable[Finding]) -> bool:
    """Print findings as they come, and return whether one is a fatal problem."""
    failed = False
    for finding in findings:
        mark = "ok" if not finding.problem else "PROBLEM" if finding.fatal else "note"
        click.echo(f"{mark:<8} {finding.what:<13} {finding.detail}")
        if finding.problem:
            failed = failed or finding.fatal
            click.echo(f"{'':<8} {finding.problem} {finding.remedy}".rstrip())
    return failed
