"""What a report says about a run, read from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import GanzooError, format_count
from ganzoo.files import format_bytes
from ganzoo.interfaces.options import changes, flag, format_value, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.reports.best import Best, best_checkpoint
from ganzoo.reports.log import parse_log
from ganzoo.reports.parameters import count_parameters
from ganzoo.reports.recipes import metric_recipes
from ganzoo.reports.warnings import ended_early, find_warnings, images_left_out, restarted
from ganzoo.runs import is_number

if TYPE_CHECKING:
    from ganzoo.checkpoints.description import RunDescription
    from ganzoo.registry.plugins import Registry
    from ganzoo.runs import Run

_STATES = {"stopped": "stopped by a plugin"}


@dataclass(frozen=True)
class RunFacts:
    """The description, statistics and state of a run. Options are formatted, by their flags; `recipes` says how metrics
    were measured, by their full names."""

    path: Path
    name: str
    model: str
    state: str
    rows: Sequence[Mapping[str, Any]]
    numbers: Mapping[str, str]
    options: Mapping[str, str]
    all_options: Mapping[str, str]
    environment: Mapping[str, str]
    warnings: Sequence[str]
    checkpoints: Sequence[float]  # kimg
    best: Best | None
    recipes: Mapping[str, str]


def read_facts(
    run: Run,
    registry: Registry | None = None,
    state: str | None = None,
    parameters: Callable[[Path], Mapping[str, int]] = count_parameters,
) -> RunFacts:
    """Read a run folder. `parameters` returns the number of parameters of each network. RunError if options.json can't
    be read."""
    description = run.description()
    rows = run.stats()
    train = description.train or {}
    saved = [checkpoint.images_seen(path) for path in checkpoint.list_checkpoints(run.path)]
    state = state or ("running" if run.in_use() else run.outcome() or "no training yet")
    return RunFacts(
        run.path,
        run.path.resolve().name,
        description.model,
        _STATES.get(state, state),
        rows,
        _numbers(description, rows, state, parameters(run.path)),
        _changed(description, registry),
        {flag(name): format_value(value) for name, value in _options(description).items()},
        _environment(description),
        _warnings(run, description, rows, state),
        [images / 1000 for images in saved],
        best_checkpoint(train, rows, saved, registry),
        metric_recipes(run.path, description.data),
    )


def format_seconds(seconds: float) -> str:
    """Return a duration as in '2 h 5 min'."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join([f"{count:,} {unit}" for count, unit in parts if count][:2])


def _warnings(run: Run, description: RunDescription, rows: Sequence[Mapping[str, Any]], state: str) -> list[str]:
    log = parse_log(run.log_messages())
    kimg: float = rows[-1]["kimg"] if rows else 0.0
    goal = (description.train or {}).get("kimg")
    return [
        *ended_early(state, kimg, goal if is_number(goal) else None, log.error),
        *restarted(log.restarts),
        *find_warnings(rows),
        *images_left_out(log.left_out, description.data.count if description.data is not None else 0),
    ]


def _numbers(
    description: RunDescription, rows: Sequence[Mapping[str, Any]], state: str, parameters: Mapping[str, int]
) -> dict[str, str]:
    last: Mapping[str, Any] = rows[-1] if rows else {}
    goal = (description.train or {}).get("kimg")
    kimg = last.get("kimg", 0.0)
    numbers = {"trained": f"{kimg:g} kimg" + (f" of {goal:g}" if is_number(goal) else "")}
    speed = last.get("images_per_second")
    if speed is not None:
        numbers["speed"] = f"{speed:,.0f} img/s" if speed >= 10 else f"{speed:.3g} img/s"
    seconds: Any = last.get("seconds")
    if is_number(seconds) and seconds >= 0:
        numbers["time trained"] = format_seconds(seconds)
    if state == "running" and speed and is_number(goal) and speed > 0 and goal > kimg:
        numbers["time left"] = f"about {format_seconds((goal - kimg) * 1000 / speed)}"
    if isinstance(last.get("size"), int):
        numbers["resolution"] = f"{last['size']} px"
    for name, label in (("memory_bytes", "memory"), ("gpu_memory_bytes", "GPU memory")):
        if is_number(last.get(name)) and last[name] > 0:
            numbers[label] = format_bytes(last[name])
    for network, count in parameters.items():
        numbers[network] = format_count(count, "parameter")
    if "device" in description.environment:
        numbers["device"] = str(description.environment["device"])
    if description.data is not None:
        numbers["data"] = f"{description.data.name}, {description.data.count:,} images"
    if description.lineage is not None:
        numbers["started from"] = f"{description.lineage.name}, {description.lineage.kimg:g} kimg"
    return numbers


def _options(description: RunDescription) -> dict[str, Any]:
    return {**(description.train or {}), **description.options}


def _changed(description: RunDescription, registry: Registry | None) -> dict[str, str]:
    """Return the options that differ from their defaults; the model's own only if the model is known and accepts
    them."""
    model = registry.models.get(description.model) if registry is not None else None
    changed: dict[str, tuple[Any, Any]] = {}
    defaults = model.defaults if model is not None else None
    try:
        changed |= changes(resolve(TrainOptions, {}, defaults), description.train_options(defaults))
        if model is not None:
            changed |= changes(model.options(), description.model_options(model))
    except GanzooError:  # of another version
        return {flag(name): format_value(value) for name, value in _options(description).items()}
    return {flag(name): format_value(value) for name, (_, value) in changed.items()}


def _environment(description: RunDescription) -> dict[str, str]:
    found = {"ganzoo": description.version, **description.environment}
    return {name.replace("_", " "): str(value) for name, value in found.items() if value is not None}
