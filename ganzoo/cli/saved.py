"""The checkpoint that a user means, by a run or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ganzoo.errors import DamagedError, GanzooError, RunError, UnsuitableError

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.runs import Run

T = TypeVar("T")


def open_saved(named: str | None, experiments: Path, opened: Callable[[Checkpoint, Path], T]) -> T:
    """What `opened` makes of a checkpoint and of the folder that its results go to. Of a run it is the newest that is
    whole; without a name, that of the newest run that has one, passing over those of which `opened` raises
    UnsuitableError."""
    from ganzoo import runs

    if named in (None, "latest"):
        return _newest(experiments, opened)
    path = _file(str(named), experiments)
    if path is not None:
        from ganzoo.checkpoints.checkpoint import read

        return opened(read(path), path.resolve().parent)
    run = runs.find(str(named), experiments)
    return opened(_whole(run), run.path)


def _file(named: str, experiments: Path) -> Path | None:
    """The checkpoint file of that name, which may begin with a run as `runs.find` knows it: 3/checkpoint-000004000."""
    from ganzoo import runs
    from ganzoo.checkpoints.checkpoint import SUFFIX

    path = Path(named)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # too long a name, a zero byte
        return None
    folder, _, name = named.rpartition("/")
    if folder and name.startswith("checkpoint-"):
        try:
            run = runs.find(folder, experiments)
        except RunError:
            return path if named.endswith(SUFFIX) else None
        return run.path / (name if name.endswith(SUFFIX) else name + SUFFIX)
    return path if named.endswith(SUFFIX) else None


def _newest(experiments: Path, opened: Callable[[Checkpoint, Path], T]) -> T:
    from ganzoo import runs

    runs.find("latest", experiments)  # says what to do if there is no run at all
    failures: list[tuple[Run, GanzooError]] = []
    unsuitable: set[str] = set()  # models, of which one run is as good as another
    for run in reversed(runs.every(experiments)):
        if _model(run) in unsuitable:
            continue
        try:
            found = opened(_whole(run), run.path)
        except (UnsuitableError, DamagedError, RunError) as error:
            failures.append((run, error))
            if isinstance(error, UnsuitableError):
                unsuitable.add(_model(run))
            continue
        for passed, reason in failures:
            click.echo(f"{passed.path.name} is passed over: {reason}", err=True)
        return found
    unfit = [error for _, error in failures if isinstance(error, UnsuitableError)]
    raise unfit[0] if unfit else failures[0][1]


def _model(run: Run) -> str:
    """The model of a run, or the run's path if that is not known."""
    try:
        return str(run.options()["model"])
    except RunError:
        return str(run.path)


def _whole(run: Run) -> Checkpoint:
    """The newest whole checkpoint. RunError if there is none at all."""
    from ganzoo.checkpoints.checkpoint import newest_whole

    saved = newest_whole(run.path, lambda path, error: click.echo(f"warning: {error}", err=True))
    if saved is None:
        raise RunError(f"{run.path} has no checkpoint yet.")
    return saved
