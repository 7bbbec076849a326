"""`ganzoo import`: convert another program's checkpoint to a run that can be sampled and trained further."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import backend, runs
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription
from ganzoo.checkpoints.unpickling import safe_load
from ganzoo.errors import CheckpointError, OptionError, PluginError
from ganzoo.interfaces.dataset import COLOURS, DataInfo
from ganzoo.interfaces.model import ImportedWeights, Model
from ganzoo.interfaces.optimizers import Adam, AdamMoments
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.runs import Run

if TYPE_CHECKING:
    from ganzoo.interfaces.networks import Network
    from ganzoo.training.state import TrainState


@dataclass(frozen=True)
class ImportResult:
    """The new run, what was found in the imported file (a line each), and whether the model translates images."""

    run: Run
    found: tuple[str, ...]
    translates: bool


def import_checkpoint(
    model: Model, path: Path, given: Mapping[str, Any], experiments: Path, domains: Sequence[str] = ()
) -> ImportResult:
    """Create a run from the weights at `path`, with the `given` model options and the names of `domains`.

    The run's only checkpoint is at the end of the stage of the last trained resolution, so training continues with the
    next stage, if there is one. CheckpointError if `model` can't use the file, OptionError if an option does not match
    it; no run is created then.
    """
    _check_names(domains)
    paths = model.checkpoint_files(path)
    content = {name: safe_load(file) for name, file in paths.items()} if paths else safe_load(path)
    try:
        with np.errstate(all="ignore"):  # numbers too large for float32 become infinite, and are rejected below
            converted = _with_domains(model.import_weights(content, given), domains)
        del content
        _check_numbers(converted)
        options = resolve(model.options, converted.options)
        train = resolve(TrainOptions, {}, model.defaults)
        data = DataInfo(path.stem, 0, converted.size, converted.channels, converted.domains)
        backend.start()
        from ganzoo.training.state import TrainState

        schedule = Schedule(model.stages(options, train, data))  # raises if the model can't be built at this size
        _check_fit(model.build(options, data, train).networks, converted)
        state = TrainState(model, options, data, train, schedule)
        _load(state, converted)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    _set_progress(state, converted.trained_size)
    description = RunDescription.create(model, options, train, data)
    run = runs.create(experiments, f"{model.name}-{path.stem}")
    with run.locked():
        checkpoint.write(run.path / checkpoint.file_name(0), state.tensors(), description, state.metadata())
        environment = backend.describe_environment()
        run.save_description(dataclasses.replace(description, environment=environment, saved=time.time()))
        run.log(f"import of {path} finished")
    others = [f"{file.name}: also read" for file in paths.values() if file != path]
    return ImportResult(run, (*others, *_summary(converted, state)), state.setup.translator is not None)


def _check_names(domains: Sequence[str]) -> None:
    for number, name in enumerate(domains):
        if not name:
            raise OptionError(f"--domains {','.join(domains)}: name {number + 1} is empty.")
        if name in domains[:number]:
            raise OptionError(f"--domains {','.join(domains)}: {name!r} is given twice.")


def _with_domains(converted: ImportedWeights, domains: Sequence[str]) -> ImportedWeights:
    if domains and len(domains) != len(converted.domains):
        found = len(converted.domains) or "none"
        raise OptionError(f"--domains {','.join(domains)}: {len(domains)} names given, but the file has {found}.")
    return dataclasses.replace(converted, domains=tuple(domains)) if domains else converted


def _check_numbers(converted: ImportedWeights) -> None:
    """Raise CheckpointError, naming the array, if a weight or a moment is NaN or infinite."""
    groups: dict[str, Mapping[str, np.ndarray]] = {
        **converted.weights,
        **{f"average of the {name}": average for name, average in converted.ema.items()},
    }
    for name, moments in converted.moments.items():
        groups.update(
            {f"Adam's moments of the {name}": moments.first, f"Adam's second moments of the {name}": moments.second}
        )
    for what, values in groups.items():
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise CheckpointError(f"{what}: {name!r} contains NaN or infinity; training may have diverged.")


def _check_fit(networks: Mapping[str, Network], converted: ImportedWeights) -> None:
    """Raise CheckpointError if the weights don't fit the networks. Networks take no memory until their first use."""
    for name, network in networks.items():
        for what, arrays in ((name, converted.weights), (f"average of the {name}", converted.ema)):
            if name in arrays:
                _naming(what, network.check_state, arrays[name])


def _load(state: TrainState, converted: ImportedWeights) -> None:
    """Load weights, EMA and Adam moments into the state. Whatever the file lacks keeps its initial values."""
    for name, weights in converted.weights.items():
        _naming(name, state.setup.networks[name].load_state, weights)
    for name in state.setup.ema:
        if name in converted.weights or name in converted.ema:
            values = converted.ema.get(name) or converted.weights[name]
            _naming(f"average of the {name}", state.ema.copies[name].load_state, values)
    for name, moments in converted.moments.items():
        optimizer, network = state.optimizers[name], state.setup.networks[name]
        if not isinstance(optimizer.settings, Adam):
            raise PluginError(f"import_weights has Adam's moments for {name!r}, whose optimizer is {optimizer.name!r}.")
        optimizer.load_state(_moments_by_name(moments, network), {**optimizer.steps, **moments.steps})
    backend.run_pending()


def _naming(name: str, load: Callable[[Mapping[str, np.ndarray]], None], values: Mapping[str, np.ndarray]) -> None:
    """Call `load(values)`, with `name` in front of the message of a CheckpointError."""
    try:
        load(values)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def _moments_by_name(moments: AdamMoments, network: Network) -> dict[str, np.ndarray]:
    """Return the moments of every weight by their names in a checkpoint, zeros for those not imported."""
    values = {}
    for kind, arrays in (("first", moments.first), ("second", moments.second)):
        for name, var in network.trainable().items():
            values[f"{kind}/{name}"] = arrays[name] if name in arrays else np.zeros(var.shape, np.float32)
    return values


def _set_progress(state: TrainState, trained: int) -> None:
    """Set the progress to the end of the stage of `trained` px, with no images seen."""
    stages = state.schedule.stages
    index = max((index for index, stage in enumerate(stages) if stage.size <= trained), default=0)
    stage = stages[index]
    length = 2 * stage.fade if stage.images is None else stage.images
    state.progress = Progress(step=_steps(state), stage=index, stage_images=length + 1 if length else 0)
    state.position = StagePosition(index, stage, 1.0)


def _steps(state: TrainState) -> int:
    """Compute the number of steps from the optimizers' updates; a step may update a network several times."""
    per_step = {
        name: sum(1 / phase.interval for phase in state.setup.loss.phases if name in phase.networks)
        for name in state.optimizers
    }
    updates = {name: max(optimizer.steps.values(), default=0) for name, optimizer in state.optimizers.items()}
    return max((round(count / per_step[name]) for name, count in updates.items() if per_step[name]), default=0)


def _summary(converted: ImportedWeights, state: TrainState) -> Iterator[str]:
    further = f", can grow to {converted.size} px" if converted.size > converted.trained_size else ""
    yield f"{COLOURS[converted.channels]} images of {converted.trained_size} px{further}"
    if converted.domains:
        yield f"domains: {', '.join(converted.domains)}"
    for name, network in state.setup.networks.items():
        if name not in converted.weights:
            yield f"{name}: not in the file; initialised randomly"
            continue
        parts = [f"{network.parameter_count():,} weights"]
        if name in converted.ema:
            parts.append("their average")
        if name in converted.moments:
            parts.append(f"Adam's moments after {max(converted.moments[name].steps.values(), default=0):,} updates")
        elif name in state.optimizers:
            parts.append("no optimizer state")
        yield f"{name}: {', '.join(parts)}"
    yield from converted.notes
