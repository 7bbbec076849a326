"""`ganzoo doctor`: can this machine train?"""

from __future__ import annotations

import click


@click.command(short_help="Check whether this machine can train.")
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check everything training needs, at last with a real convolution. Exit status 1 if training would fail.

    The first time on a machine this compiles Jittor, which takes minutes.
    """
    from ganzoo.backend import checks

    fatal = False
    for finding in checks.examine():
        mark = "ok" if not finding.problem else "PROBLEM" if finding.fatal else "note"
        click.echo(f"{mark:<8} {finding.what:<13} {finding.detail}")
        if finding.problem:
            fatal = fatal or finding.fatal
            click.echo(f"{'':<8} {finding.problem} {finding.mend}".rstrip())
    click.echo("Training would fail; mend the problems above." if fatal else "Ready to train.")
    ctx.exit(1 if fatal else 0)
