"""Going on with a run: its options with the user's changes, and its newest checkpoint that is whole."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import CheckpointError, DamagedError, OptionError, counted, printable
from ganzoo.files import leftovers
from ganzoo.interfaces.options import changes, flag, plain, resolve, setting
from ganzoo.interfaces.train_options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options
    from ganzoo.runs import Run
    from ganzoo.training.plan import Plan
    from ganzoo.training.state import TrainState


def resumed_options(
    run: Run, model: Model, train_values: dict[str, Any], model_values: dict[str, Any]
) -> tuple[TrainOptions, Options, list[str]]:
    """The options of a run with the user's changes over them, and a line for each change."""
    stored = run.options()
    if stored["model"] != model.name:
        raise OptionError(
            f"{run.path} is a run of {stored['model']}; continue it with `ganzoo train {stored['model']} --resume`."
        )
    if stored.get("data", {}).get("count") == 0 and "data" not in train_values:  # an import, which has no data yet
        raise OptionError(
            f"--data: {run.path.name} was imported, and its file doesn't tell what it was trained on. Name the images "
            "to train it on from here, as in --data my-images."
        )
    before = resolve(TrainOptions, stored["train"], stored=True), resolve(model.options, stored["options"], stored=True)
    after = (
        resolve(TrainOptions, {**stored["train"], **train_values}),
        resolve(model.options, {**stored["options"], **model_values}),
    )
    differences = {**changes(before[0], after[0]), **changes(before[1], after[1])}
    notes = [f"changed: {flag(name)} was {_said(old)}, is {_said(new)}" for name, (old, new) in differences.items()]
    return after[0], after[1], notes


def _said(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "on", False: "off"}[value]
    return plain(value)


def check_resume(plan: Plan, run: Run) -> None:
    """OptionError if the data have other domains than those that the networks of the run are built for."""
    former = tuple(map(printable, run.options().get("data", {}).get("domains", ())))
    if not plan.model.conditional or former == plan.data.domains:
        return
    found = ", ".join(plan.data.domains) or "none"
    unnamed = all(name.isdigit() for name in former)
    remedy = f" If they are these by other names, import it again with --domains {found}." if unnamed else ""
    raise OptionError(
        f"--data {plan.train.data}: the run was trained on the domains {', '.join(former)}, and these are {found}. "
        f"Its networks know no others.{remedy}"
    )


def surroundings(plan: Plan, run: Run, present: dict[str, Any]) -> list[str]:
    """What else is not as it was when the run was last trained, a line each: the data, and `present`, of which the
    exact numbers depend: versions, device, threads."""
    stored = run.options()
    former = stored.get("environment", {})
    lines = [
        f"changed: {name} was {former[name]}, is {value}; numbers can differ in their last digits from here on"
        for name, value in present.items()
        if isinstance(former, dict) and former.get(name, value) != value
    ]
    lay = stored.get("data_path")
    if plan.data_path and isinstance(lay, str) and lay != str(plan.data_path):
        lines.append(f"changed: the data were at {lay}, and are at {plan.data_path} now")
    former, name, now = stored.get("data", {}), plan.data.name, counted(plan.data.count, "image")
    if former.get("count") and former["name"] != name:
        lines.append(f"changed: trained on {former['name']} before, and on {name} now ({now})")
    elif former.get("count") and former["count"] != plan.data.count:
        had = counted(former["count"], "image")
        lines.append(f"changed: {name} had {had}, has {plan.data.count:,}; their order is another now")
    return lines


def load_newest(run: Run) -> checkpoint.Checkpoint | None:
    """The newest whole checkpoint of a run, None if there was no time to make one. Damaged ones are put aside under
    another name. The caller holds the lock."""
    for file in leftovers(run.path):
        with contextlib.suppress(OSError):
            file.unlink()
    damaged: list[tuple[Path, DamagedError]] = []
    saved = checkpoint.newest_whole(run.path, lambda path, error: damaged.append((path, error)))
    for path, error in damaged:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        run.tell(f"{error} It is {aside.name} now.")
    return saved


def restore(state: TrainState, saved: checkpoint.Checkpoint, plan: Plan, run: Run) -> None:
    """Take the state to that of a checkpoint. OptionError names the options that stand in the way, if it does not
    fit."""
    if saved.metadata["model"] != plan.model.name:
        raise CheckpointError(f"{saved.path}: of the model {saved.metadata['model']!r}, not {plan.model.name!r}.")
    try:
        state.load(saved.tensors, saved.metadata)
    except CheckpointError as error:
        changed = _changed_networks(plan, saved)
        if changed:
            raise OptionError(
                f"{', '.join(changed)}: the networks of {run.path.name} were built otherwise, so it can't go on with "
                "this. Leave it as it was, or begin a new run."
            ) from error
        raise CheckpointError(f"{saved.path}: {error}") from error


def check_fit(plan: Plan, run: Run) -> None:
    """The same for a run that is not to go on yet; nothing in its folder is touched."""
    from ganzoo.training.state import TrainState  # not above: it needs Jittor

    if (saved := checkpoint.newest_whole(run.path, lambda path, error: None)) is not None:
        restore(TrainState(plan.model, plan.options, plan.data, plan.train), saved, plan, run)


def _changed_networks(plan: Plan, saved: checkpoint.Checkpoint) -> list[str]:
    """The model's options, and the data, that are others than those of a checkpoint and ask for other networks."""
    stored = saved.options(plan.model)
    changed = changes(stored, plan.options)
    alone = {name: dataclasses.replace(stored, **{name: new}) for name, (_, new) in changed.items()}
    # Those that do so by themselves; all, if only several together do.
    guilty = [name for name, options in alone.items() if not _fits(plan, options, saved)] or list(changed)
    found = [setting(name, changed[name][1]) for name in guilty]
    former = saved.data
    if (former.size, former.channels) != (plan.data.size, plan.data.channels):
        found.append(f"--data {plan.train.data} of {plan.data.size} px, {plan.data.channels} channels")
    return found


def _fits(plan: Plan, options: Options, saved: checkpoint.Checkpoint) -> bool:
    """Whether the networks that these options ask for, on the checkpoint's own data, are those of the checkpoint."""
    from ganzoo.checkpoints.checkpoint import part

    try:
        for name, network in plan.model.build(options, saved.data).networks.items():
            network.check_state(part(saved.tensors, f"net/{name}/"))
    except Exception:  # the model is a stranger's, and its options are no longer checked to be within their ranges
        return False
    return True
