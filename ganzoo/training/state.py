"""Everything that training changes, in one object that can be written to a checkpoint and restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints.checkpoint import part
from ganzoo.errors import CheckpointError, OptionError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.model import Model, Setup
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry.setup_validation import check_setup
from ganzoo.training.ema import EMA
from ganzoo.training.optim import Optimizer


class TrainState:
    """Networks, optimizers, averages and progress of one run."""

    def __init__(self, model: Model, options: Options, data: DataInfo, train: TrainOptions) -> None:
        self.model, self.options, self.data = model, options, data
        self.schedule = Schedule(model.stages(options, train, data))
        self.progress = Progress()
        self.position: StagePosition | None = None  # of the last step
        self._focused = False
        with backend.on_host():  # the same weights from the same seed, whatever device trains them
            backend.seed(train.seed, 0)
            self.setup: Setup = model.build(options, data)
            check_setup(self.setup)
            other = model.build(options, data)
        self.optimizers = {
            name: Optimizer(self.setup.networks[name], adam) for name, adam in self.setup.optimizers.items()
        }
        kept = {*self.setup.sampling_networks(), *self.setup.ema}
        copies = {name: network for name, network in other.networks.items() if name in kept}
        self.ema = EMA(self.setup.networks, copies, self.setup.ema, other.translator)
        self._grow(self.schedule.position(self.progress))
        backend.run_pending()

    def upcoming(self) -> StagePosition:
        """The position of the next step."""
        self.progress = self.schedule.advance(self.progress)
        return self.schedule.position(self.progress)

    def advance(self) -> bool:
        """Take networks, optimizers and averages to the position of the next step. Call before each step.

        True if other weights are trained than in the last step of this process: a stage or the time after its fade
        begins, or training does.
        """
        former, self.position = self.position, self.upcoming()
        self._grow(self.position)
        same = self.position.alike(former)
        if same and self._focused:
            return False
        stage = self.position.stage
        for name, optimizer in self.optimizers.items():
            optimizer.focus(self.setup.networks[name].used())
            optimizer.learning_rate = stage.learning_rate or optimizer.settings.learning_rate
            if stage.reset and former is not None and not same:
                optimizer.reset()
        self.ema.decay = stage.ema_decay
        self._focused = True
        return True

    def _position(self, index: int, size: int, alpha: float) -> StagePosition:
        """A position as a checkpoint describes it. OptionError if the stages are no longer those it was trained in."""
        sizes = [stage.size for stage in self.schedule.stages]
        if sizes[index : index + 1] != [size]:
            if len(sizes) == 1 and not index:
                raise OptionError(f"the checkpoint was trained at {size} px, and can't go on at {sizes[0]} px.")
            raise OptionError(
                f"the checkpoint was trained at {size} px in stage {index + 1}, but the options now ask for the stages "
                f"{', '.join(map(str, sizes))} px. Resume with the first and last resolution it was begun with."
            )
        return StagePosition(index, self.schedule.stages[index], alpha)

    def _grow(self, position: StagePosition) -> None:
        for network in (*self.setup.networks.values(), *self.ema.copies.values()):
            network.grow(position.stage.size, position.alpha)

    def tensors(self) -> dict[str, np.ndarray]:
        """Every array of the state: 'net/...', 'ema/...' and 'adam/...'."""
        return dict(self.arrays())

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """The same one by one, by name. The one place that copies weights to host."""
        groups = [(f"net/{name}", network.state()) for name, network in self.setup.networks.items()]
        groups += [(f"ema/{name}", self.ema.copies[name].state()) for name in self.setup.ema]
        groups += [(f"adam/{name}", optimizer.state()) for name, optimizer in self.optimizers.items()]
        yield from ((f"{prefix}/{key}", var.numpy()) for prefix, state in groups for key, var in state.items())

    def metadata(self) -> dict[str, Any]:
        """The part of the state that is not an array."""
        position = self.position or self.schedule.position(self.progress)
        return {
            "progress": dataclasses.asdict(self.progress),
            "moment": {"index": position.index, "size": position.stage.size, "alpha": position.alpha},
            "optimizer_steps": {name: optimizer.steps for name, optimizer in self.optimizers.items()},
            "averaged": sorted(self.setup.ema),
        }

    def load(self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
        """Restore what `tensors` and `metadata` gave. CheckpointError if anything is missing or does not fit.

        Only weights that rest at the resolution of the checkpoint may be missing: those of resolutions beyond the last
        that the run was begun with. They stay as they begin.
        """
        try:
            progress = Progress.of(metadata["progress"])
            position = self._position(**metadata["moment"]) if "moment" in metadata else None
            if position is not None:
                self._grow(position)
            new = {}
            for name, network in self.setup.networks.items():
                values = part(tensors, f"net/{name}/")
                new[name] = network.trainable().keys() - network.used().keys() - values.keys()
                network.load_state(_with(network.state(), new[name], values))
            for name in self.setup.ema:
                copy = self.ema.copies[name]
                copy.load_state(_with(copy.state(), new[name], part(tensors, f"ema/{name}/")))
            for name, optimizer in self.optimizers.items():
                steps = metadata["optimizer_steps"][name]
                if isinstance(steps, int):  # as before weights could join late
                    steps = dict.fromkeys(optimizer.steps, steps)
                fresh = [f"{which}/{key}" for which in ("first", "second") for key in new[name]]
                values = _with(optimizer.state(), fresh, part(tensors, f"adam/{name}/"))
                optimizer.load_state(values, {**dict.fromkeys(new[name], 0), **steps})
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the checkpoint's description is damaged ({error!r}).") from error
        self.progress, self.position = progress, position if progress.step else None
        self._grow(self.position or self.upcoming())
        backend.run_pending()


def _with(state: Mapping[str, Any], new: Iterable[str], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values, and what `state` has now under the names that are `new`."""
    return {**{name: state[name].numpy() for name in new}, **values}
