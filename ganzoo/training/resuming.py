"""Resuming a run: its options with the user's changes, and its newest intact checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import CheckpointError, CorruptCheckpointError, OptionError, format_count
from ganzoo.files import leftovers
from ganzoo.interfaces.options import changes, flag, format_setting, format_value, resolve
from ganzoo.interfaces.train_options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options
    from ganzoo.runs import Run
    from ganzoo.training.plan import Plan
    from ganzoo.training.state import TrainState


def resumed_options(
    run: Run, model: Model, train_values: dict[str, Any], model_values: dict[str, Any]
) -> tuple[TrainOptions, Options, list[str]]:
    """Return the options of a run, overridden by the user's values, and a line for each change."""
    stored = run.description()
    if stored.model != model.name:
        raise OptionError(
            f"{run.path} is a run of {stored.model}; continue it with `ganzoo train {stored.model} --resume`."
        )
    if stored.data and stored.data.count == 0 and "data" not in train_values:  # imported; has no data yet
        raise OptionError(
            f"--data: {run.path.name} was imported, and its file doesn't say which data it was trained on. Give the "
            "data to continue with, e.g. --data my-images."
        )
    before = stored.train_options(), stored.model_options(model)
    after = (
        resolve(TrainOptions, {**(stored.train or {}), **train_values}),
        resolve(model.options, {**stored.options, **model_values}),
    )
    differences = {**changes(before[0], after[0]), **changes(before[1], after[1])}
    notes = [
        f"changed: {flag(name)} was {_format_value(old)}, is {_format_value(new)}"
        for name, (old, new) in differences.items()
    ]
    return after[0], after[1], notes


def _format_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "on", False: "off"}[value]
    return format_value(value)


def check_resume(plan: Plan, run: Run) -> None:
    """Raise OptionError if images become square in another way than in the run before, or if the data has other domains
    than the run's networks were built for."""
    data = run.description().data
    _check_fit(plan, data)
    former = data.domains if data else ()
    if not plan.model.is_conditional(plan.options) or former == plan.data.domains:
        return
    found = ", ".join(plan.data.domains) or "none"
    unnamed = all(name.isdigit() for name in former)
    remedy = (
        f" If these are the same domains under other names, import the checkpoint again with --domains {found}."
        if unnamed
        else ""
    )
    raise OptionError(
        f"--data {plan.train.data}: the run was trained on the domains {', '.join(former)}, but the data has {found}. "
        f"Its networks support only the former.{remedy}"
    )


def _check_fit(plan: Plan, former: DataInfo | None) -> None:
    """Raise OptionError if the images of the run, unless it was imported, became square in another way."""
    now = plan.data.fit
    before = now if former and not former.count else former.fit if former else "crop"
    if before == now:
        return
    if plan.train.fit == now:
        raise OptionError(f"--fit {now}: the run was trained with --fit {before}. Keep that, or start a new run.")
    raise OptionError(
        f"--data {plan.train.data}: the run was trained with --fit {before}, but the images of this data set become "
        f"square with --fit {now}. Add --fit {before}, or prepare them again with it."
    )


def check_same_data(plan: Plan, run: Run) -> None:
    """Raise OptionError if the data are not those of the run: neither at the same place, nor moved or copied, as far as
    their description tells. Images may have been added or removed.

    Data at another place count as the same if two of these hold: they have the same name, everything else that is
    known of them is the same, and nothing is left at the former place.
    """
    stored = run.description()
    former, path = stored.data, plan.data_path
    if former is None or not former.count:  # an old or an imported run
        return
    before = Path(stored.data_path) if stored.data_path else None
    same_place = (
        before is not None and path.resolve() == before.resolve() if path else stored.data_name == plan.train.data
    )
    gone = before is not None and not before.exists()
    same_facts = dataclasses.replace(former, name=plan.data.name, size=plan.data.size) == plan.data
    if same_place or (former.name == plan.data.name) + same_facts + gone >= 2:
        return
    images = format_count(former.count, "image")
    raise OptionError(
        f"--data {plan.train.data}: {run.path.name} was trained on {former.name} ({images}), and resuming keeps its "
        f"optimizer state. For other images, `ganzoo train {plan.model.name} --from {run.path.name} --data "
        f"{plan.train.data}` starts a new run with its weights. To resume all the same, add --other-data."
    )


def changes_since(plan: Plan, run: Run, present: dict[str, Any]) -> list[str]:
    """Return a line for each change since the run was last trained, other than changed options: changes of the data and
    of the environment, which affects the exact numbers. `present` is the current environment (versions, device,
    threads)."""
    stored = run.description()
    former, environment = stored.data, stored.environment
    lines = [
        f"changed: {name} was {environment[name]}, is {value}; results may differ in the last digits from here on"
        for name, value in present.items()
        if environment.get(name, value) != value
    ]
    former_path = stored.data_path
    if plan.data_path and former_path and former_path != str(plan.data_path):
        lines.append(f"changed: the data moved from {former_path} to {plan.data_path}")
    name, now = plan.data.name, format_count(plan.data.count, "image")
    if former and former.count and former.name != name:
        lines.append(f"changed: trained on {former.name} before, now on {name} ({now})")
    elif former and former.count and former.count != plan.data.count:
        had = format_count(former.count, "image")
        lines.append(f"changed: {name} had {had}, has {plan.data.count:,}; the image order has changed")
    return lines


def load_newest(run: Run) -> checkpoint.Checkpoint | None:
    """Return the newest intact checkpoint of a run, None if it has none. Renames damaged checkpoints that are newer,
    and deletes unfinished files. CorruptCheckpointError if all are damaged. The caller must hold the lock."""
    for file in leftovers(run.path):
        with contextlib.suppress(OSError):
            file.unlink()
    damaged: list[tuple[Path, CorruptCheckpointError]] = []
    saved = checkpoint.newest_intact(run.path, lambda path, error: damaged.append((path, error)))
    for path, error in damaged:
        renamed = path.with_name(f"{path.name}.damaged")
        path.replace(renamed)
        run.print_and_log(f"{error} Renamed to {renamed.name}.")
    return saved


def restore(state: TrainState, saved: checkpoint.Checkpoint, plan: Plan, run: Run) -> list[str]:
    """Load a checkpoint into the state. If it does not fit because options or the data's attributes were changed, raise
    OptionError, which names them; if it does not fit for another reason, raise CheckpointError. Return the lines of
    `TrainState.load`."""
    if saved.run.model != plan.model.name:
        raise CheckpointError(f"{saved.path}: a checkpoint of model {saved.run.model!r}, not {plan.model.name!r}.")
    if state.attributes is not None or checkpoint.ATTRIBUTES in saved.tensors:
        _check_attributes(saved, plan)
    absent = [name for name, network in state.setup.networks.items() if network.state() and not saved.has_network(name)]
    if absent or (state.setup.optimizers and not saved.metadata.optimizer_steps):
        what = ", ".join(absent) or "the state of the optimizers"
        raise CheckpointError(
            f"{saved.path}: it was exported, without {what}, so training can't be resumed. Start a new "
            f"run with its weights: ganzoo train {plan.model.name} --from {saved.path}"
        )
    try:
        return state.load(saved.tensors, saved.metadata)
    except CheckpointError as error:
        changed = _changed_networks(plan, saved)
        if changed:
            raise OptionError(
                f"{', '.join(changed)}: the networks of {run.path.name} were built with other values. Keep those, or "
                "start a new run."
            ) from error
        raise CheckpointError(f"{saved.path}: {error}") from error


def _check_attributes(saved: checkpoint.Checkpoint, plan: Plan) -> None:
    """Raise OptionError if the data has other attributes than the checkpoint's networks were built for."""
    former, now = (", ".join(data.attributes) or "none" for data in (saved.data, plan.data))
    if saved.data.attributes != plan.data.attributes:
        raise OptionError(
            f"--data {plan.train.data}: the run was trained on the attributes {former}, but the data has {now}. Its "
            "networks support only the former."
        )


def check_restorable(plan: Plan, run: Run) -> None:
    """Raise what `restore` would, without changing anything in the run's folder."""
    if (saved := checkpoint.newest_intact(run.path, lambda path, error: None)) is not None:
        restore(plan.initial_state(), saved, plan, run)


def _changed_networks(plan: Plan, saved: checkpoint.Checkpoint) -> list[str]:
    """Return the model options and the data that have changed since the checkpoint and so give different networks."""
    stored = saved.options(plan.model)
    changed = changes(stored, plan.options)
    single_changes = {name: dataclasses.replace(stored, **{name: new}) for name, (_, new) in changed.items()}
    # Options whose change alone gives different networks; if there are none, all changed options.
    incompatible = [name for name, options in single_changes.items() if not _fits(plan, options, saved)] or list(
        changed
    )
    found = [format_setting(name, changed[name][1]) for name in incompatible]
    former = saved.data
    if (former.size, former.channels) != (plan.data.size, plan.data.channels):
        found.append(f"--data {plan.train.data} of {plan.data.size} px, {plan.data.channels} channels")
    return found


def _fits(plan: Plan, options: Options, saved: checkpoint.Checkpoint) -> bool:
    """Return whether networks built from these options and the checkpoint's data fit the checkpoint's weights."""
    from ganzoo.checkpoints.checkpoint import with_prefix

    try:
        for name, network in plan.model.build(options, saved.data, plan.train).networks.items():
            network.check_state(with_prefix(saved.tensors, f"net/{name}/"))
    except Exception:  # a third-party model may fail for stored options outside their ranges
        return False
    return True
