"""The checkpoint that a user means, by a run or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganzoo.errors import RunError

if TYPE_CHECKING:
    from ganzoo.runs import Run
    from ganzoo.training.checkpoint import Checkpoint


def find(named: str | None, experiments: Path) -> tuple[Checkpoint, Path]:
    """The checkpoint, and the folder that what is made of it goes to. Of a run it is the newest that is whole; without
    a name, that of the newest run that has one."""
    from ganzoo import runs
    from ganzoo.training.checkpoint import SUFFIX, newest_whole, read

    if named is not None and (named.endswith(SUFFIX) or Path(named).is_file()):
        path = Path(named)
        return read(path), path.resolve().parent
    run = _newest_run(experiments) if named in (None, "latest") else runs.find(str(named), experiments)
    saved = newest_whole(run.path, lambda path, error: click.echo(f"warning: {error}", err=True))
    if saved is None:
        raise RunError(f"{run.path}: it has no checkpoint yet.")
    return saved, run.path


def _newest_run(experiments: Path) -> Run:
    """The newest run that has a checkpoint, or the newest if none has."""
    from ganzoo import runs
    from ganzoo.training.checkpoint import names

    latest = runs.find("latest", experiments)
    for run in reversed(runs.every(experiments)):
        if names(run.path):
            return run
        click.echo(f"{run.path.name} has no checkpoint yet, so it is passed over", err=True)
    return latest
