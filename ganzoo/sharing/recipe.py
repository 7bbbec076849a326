"""The command that trains a model again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.interfaces.options import changes, flag, format_value, options_by_name, resolve
from ganzoo.interfaces.train_options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.model import Model

_MACHINE_GROUPS = ("Reports and checkpoints", "Evaluation", "Machine")  # of options that weights don't depend on


def train_command(saved: Checkpoint, model: Model) -> str:
    """Return the command that trains such a model: `ganzoo train` with all options that differ from their defaults, and
    that weights depend on. Folders of this machine are left out."""
    train, own = saved.run.train_options(model.defaults), saved.options(model)
    values = {**train.to_dict(), **own.to_dict()}
    options = {**options_by_name(TrainOptions), **options_by_name(model.options)}
    changed = {**changes(resolve(TrainOptions, {}, model.defaults), train), **changes(model.options(), own)}
    kimg = min(train.kimg, saved.metadata.progress.kimg)  # the last batch may exceed the goal
    chosen = {"data": saved.data.name, "kimg": kimg}
    chosen |= {
        name: value
        for name, (_, value) in changed.items()
        if name not in chosen and options[name].group not in _MACHINE_GROUPS
    }
    command = ["ganzoo", "train", model.name]
    for name, value in chosen.items():
        if value is None or options[name].reason_without_effect(values):
            continue
        if isinstance(value, bool):
            command.append(flag(name if value else f"no_{name}"))
        else:
            command += [flag(name), format_value(without_folders(value))]
    return shlex.join(command)


def without_folders(value: Any) -> Any:
    """Return an option's value without the folders of this machine, if it is an absolute path."""
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value
