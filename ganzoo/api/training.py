"""Training from Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganzoo.api.loaded import LoadedRun, StrPath, load
from ganzoo.backend import exclusive
from ganzoo.errors import OptionError, RunError, did_you_mean
from ganzoo.interfaces.hookspecs import hookimpl
from ganzoo.interfaces.options import options_by_name
from ganzoo.interfaces.train_options import OPTION_HINTS, TrainOptions
from ganzoo.registry import plugins
from ganzoo.training.launch import Request, plan_training, run_plan

OnTick = Callable[[dict[str, Any]], "str | None"]


def train(
    model: str,
    data: StrPath | None = None,
    *,
    preset: StrPath | None = None,
    from_: StrPath | int | None = None,
    resume: StrPath | None = None,
    other_data: bool = False,
    experiments: StrPath = "experiments",
    on_tick: OnTick | None = None,
    **options: Any,
) -> LoadedRun:
    """Train a model, as `ganzoo train` does, and return the run. `options` are those of the command line, such as
    `kimg=1` or `micro_batch=8`. `from_` names a run or checkpoint whose weights a new run starts with (`--from`);
    `resume` continues a run, also on other data than before if `other_data` is set.

    `on_tick` is called after each tick with its row of the statistics; if it returns a string, the reason, training
    ends after the step with a checkpoint. Ctrl-C also ends it with a checkpoint, and then raises KeyboardInterrupt, as
    does an error in `on_tick`. Raises OptionError, DataError or RunError if the run can't work.
    """
    registry = plugins.load()
    found = registry.model(model)
    chosen = {name: value for name, value in {"data": data, **options}.items() if value is not None}
    _check_names(found, chosen)
    chosen = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in chosen.items()}
    request = Request(
        found,
        chosen,
        _text(preset),
        _text(resume),
        Path(experiments),
        _text(str(from_) if isinstance(from_, int) else from_),
        other_data,
    )
    callback = _TickCallback(on_tick)
    registry.manager.register(callback, name="on_tick")
    with exclusive():
        plan, resumed = plan_training(request, registry, print, lambda line: print(line, file=sys.stderr))
        run, stop = run_plan(plan, registry, request.experiments, resumed)
    if callback.error is not None:
        raise callback.error
    if stop.number is not None:
        signal.raise_signal(stop.number)  # the run is saved; now the caller's handler decides
    trained = run or resumed
    if trained is None:
        raise RunError("this process is not rank 0, which has the run.")
    return load(trained.path)


def _check_names(model: Any, options: dict[str, Any]) -> None:
    known = {**options_by_name(TrainOptions), **options_by_name(model.options)}
    others = {**OPTION_HINTS, **model.option_hints}
    for name in options:
        if name not in known:
            hint = f" Use {others[name]}." if others.get(name, "").startswith("--") else f" {others.get(name, '')}"
            raise OptionError(
                f"{model.name} has no option {name!r}.{did_you_mean(name, known) if name not in others else hint}"
            )


def _text(path: StrPath | None) -> str | None:
    return None if path is None else os.fspath(path)


class _TickCallback:
    """A plugin that calls a function after each tick. Its first error ends training."""

    def __init__(self, on_tick: OnTick | None) -> None:
        self._on_tick = on_tick
        self.error: BaseException | None = None

    @hookimpl
    def ganzoo_tick(self, stats: dict[str, Any]) -> str | None:
        if self._on_tick is None:
            return None
        try:
            return self._on_tick(stats)
        except BaseException as error:
            self.error = error
            return f"on_tick raised {type(error).__name__}"
