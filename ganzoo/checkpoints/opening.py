"""Find the checkpoint that the user names, as a file, by its run or in the zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganzoo import runs
from ganzoo.checkpoints import hub
from ganzoo.checkpoints.checkpoint import SUFFIX, Checkpoint, newest_intact, read
from ganzoo.checkpoints.zoo import PREFIX, read_zoo_model
from ganzoo.errors import CorruptCheckpointError, GanzooError, RunError, UnsupportedByModelError
from ganzoo.runs import Run

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry

T = TypeVar("T")
Say = Callable[[str], None]


def open_checkpoint(
    name_or_path: str | None,
    experiments: Path,
    registry: Registry,
    use: Callable[[Checkpoint, Path], T],
    say: Say = lambda line: None,
) -> T:
    """Return `use(checkpoint, folder)`, where `folder` is for results. `say` gets the warnings.

    `name_or_path` is a checkpoint file, zoo:NAME, one on Hugging Face (hf:USER/NAME), or a run, whose newest intact
    checkpoint is used. Without a name, use the newest run with an intact checkpoint, skipping runs for which `use`
    raises UnsupportedByModelError.
    """
    if name_or_path in (None, "latest"):
        return _newest(experiments, use, say)
    if str(name_or_path).startswith(PREFIX):
        name = str(name_or_path).removeprefix(PREFIX)
        return use(read_zoo_model(name, registry), experiments / "zoo" / name)  # its package may be read-only
    if hub.is_named(name_or_path):
        return use(*hub.open_on_hub(str(name_or_path), experiments, say))
    path = _file(str(name_or_path), experiments)
    if path is not None:
        return use(read(path), path.resolve().parent)
    run = runs.find(str(name_or_path), experiments)
    return use(_newest_intact(run, say), run.path)


def _file(name_or_path: str, experiments: Path) -> Path | None:
    """Return the path of the checkpoint file, or None if a run is named. The file's folder may be given in any form
    that `runs.find` accepts, such as the number in 3/checkpoint-000004000."""
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # a name that is too long or contains a null byte
        return None
    folder, _, name = name_or_path.rpartition("/")
    if folder and name.startswith("checkpoint-"):
        try:
            run = runs.find(folder, experiments)
        except RunError:
            return path if name_or_path.endswith(SUFFIX) else None
        return run.path / (name if name.endswith(SUFFIX) else name + SUFFIX)
    return path if name_or_path.endswith(SUFFIX) else None


def _newest(experiments: Path, use: Callable[[Checkpoint, Path], T], say: Say) -> T:
    runs.find("latest", experiments)  # raises RunError, with advice, if there is no run at all
    failures: list[tuple[Run, GanzooError]] = []
    unsuitable: set[str] = set()  # names of models that `use` refused; skip their other runs
    for run in reversed(runs.list_runs(experiments)):
        if _model(run) in unsuitable:
            continue
        try:
            found = use(_newest_intact(run, say), run.path)
        except (UnsupportedByModelError, CorruptCheckpointError, RunError) as error:
            failures.append((run, error))
            if isinstance(error, UnsupportedByModelError):
                unsuitable.add(_model(run))
            continue
        for skipped, reason in failures:
            say(f"skipping {skipped.path.name}: {reason}")
        return found
    unfit = [error for _, error in failures if isinstance(error, UnsupportedByModelError)]
    raise unfit[0] if unfit else failures[0][1]


def _model(run: Run) -> str:
    """Return the name of a run's model, or the run's path if the model is unknown."""
    try:
        return run.description().model
    except RunError:
        return str(run.path)


def _newest_intact(run: Run, say: Say) -> Checkpoint:
    """Return the newest intact checkpoint. RunError if it has none, CorruptCheckpointError if all are damaged."""
    saved = newest_intact(run.path, lambda path, error: say(f"warning: {error}"))
    if saved is None:
        raise RunError(f"{run.path} has no checkpoint yet.")
    return saved
