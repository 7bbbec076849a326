"""Training state: everything that training changes, saved to and restored from checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints.checkpoint import ATTRIBUTES, attribute_rows, with_prefix
from ganzoo.checkpoints.description import SchedulePosition, StateMetadata
from ganzoo.errors import CheckpointError, OptionError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.model import Model, Setup
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry.setup_validation import attribute_count, check_attributes, check_conditional, check_setup
from ganzoo.training import due
from ganzoo.training.augmentation.augmenter import Augmenter
from ganzoo.training.ema import EMA
from ganzoo.training.freezing import frozen_weights
from ganzoo.training.optim import NetworkOptimizer


class TrainState:
    """Networks, optimizers, EMA and progress of one run."""

    def __init__(
        self,
        model: Model,
        options: Options,
        data: DataInfo,
        train: TrainOptions,
        schedule: Schedule | None = None,
        attributes: np.ndarray | None = None,
    ) -> None:
        """`schedule` contains the model's stages (None: computed from the options). `attributes` are those of some
        training images (K, A), for sampling."""
        self.model, self.options, self.data = model, options, data
        self.schedule = schedule or Schedule(model.stages(options, train, data))
        self.progress = Progress(goal=due.total_images(train))
        self.position: StagePosition | None = None  # of the last step
        self._optimizers_ready = False
        with backend.on_host():  # so that a seed gives the same weights on every device
            backend.seed(train.seed, 0)
            self.setup: Setup = model.build(options, data, train)
            check_setup(self.setup, data.domains)
            check_attributes(self.setup, data)
            check_conditional(self.setup, model.is_conditional(options))
            copy = model.build(options, data, train)  # for the EMA
        self.attributes = attributes if attribute_count(self.setup) else None
        self.augmenter = None if train.augment == "none" else Augmenter(train, data)
        self.optimizers = {
            name: NetworkOptimizer(self.setup.networks[name], settings)
            for name, settings in self.setup.optimizers.items()
        }
        self._frozen = frozen_weights(self.setup, train.freeze_d)
        sampled = {*self.setup.sampling_networks(), *self.setup.ema}
        if model.draws_sheets():
            sampled |= self.setup.networks.keys()
        copies = {name: network for name, network in copy.networks.items() if name in sampled}
        self.ema = EMA(self.setup.networks, copies, self.setup.ema, copy.translator)
        self._grow(self.schedule.position(self.progress))
        backend.run_pending()

    def upcoming(self) -> StagePosition:
        """Return the position of the next step, advancing the progress to the next stage if the current one is over."""
        self.progress = self.schedule.advance(self.progress)
        return self.schedule.position(self.progress)

    def advance(self) -> bool:
        """Set up networks, optimizers and EMA for the next step. Call it before each step.

        Return True if the set of trained weights may have changed since this process's last step: at the first step,
        when a stage begins, and when its fade-in ends.
        """
        former, self.position = self.position, self.upcoming()
        self._grow(self.position)
        stage = self.position.stage
        for optimizer in self.optimizers.values():
            optimizer.set_learning_rate(self.progress.fraction, stage.learning_rate)
        same = self.position.same_networks(former)
        if same and self._optimizers_ready:
            return False
        for name, optimizer in self.optimizers.items():
            frozen = self._frozen.get(name, set())
            optimizer.set_active(self.setup.networks[name].active_weights().keys() - frozen)
            if stage.reset and former is not None and not same:
                optimizer.reset()
        self.ema.decay = stage.ema_decay
        self._optimizers_ready = True
        return True

    @property
    def batch(self) -> int:
        """Number of images of the last step, on all ranks together."""
        assert self.position is not None
        return self.position.stage.batch

    def count_step(self) -> None:
        """Advance the progress by the step that has just been run."""
        self.progress = self.progress.after(self.batch)

    def _stored_position(self, stored: SchedulePosition) -> StagePosition:
        """Return the position stored in a checkpoint. OptionError if the stages have changed since it was trained."""
        index, size = stored.index, stored.size
        sizes = [stage.size for stage in self.schedule.stages]
        if sizes[index : index + 1] != [size]:
            if len(sizes) == 1 and not index:
                raise OptionError(f"the checkpoint was trained at {size} px and can't continue at {sizes[0]} px.")
            raise OptionError(
                f"the checkpoint was trained at {size} px in stage {index + 1}, but the options now ask for the stages "
                f"{', '.join(map(str, sizes))} px. Resume with the original first and last resolution."
            )
        return StagePosition(index, self.schedule.stages[index], stored.alpha)

    def _grow(self, position: StagePosition) -> None:
        for network in (*self.setup.networks.values(), *self.ema.copies.values()):
            network.grow(position.stage.size, position.alpha)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays of the state by name: 'net/...', 'ema/...', 'adam/...' or the like, and 'data/attributes'
        if the generator has attributes."""
        return dict(self.arrays())

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the items of `tensors`, copying one array at a time to the host."""
        groups = [(f"net/{name}", network.state()) for name, network in self.setup.networks.items()]
        groups += [(f"ema/{name}", self.ema.copies[name].state()) for name in self.setup.ema]
        groups += [(f"{each.name}/{name}", each.state()) for name, each in self.optimizers.items()]
        yield from ((f"{prefix}/{key}", var.numpy()) for prefix, state in groups for key, var in state.items())
        if self.attributes is not None:
            yield ATTRIBUTES, self.attributes

    def metadata(self) -> StateMetadata:
        """Return everything in the state except the arrays."""
        position = self.position or self.schedule.position(self.progress)
        return StateMetadata(
            self.progress,
            SchedulePosition(position.index, position.stage.size, position.alpha),
            {name: dict(optimizer.steps) for name, optimizer in self.optimizers.items()},
            tuple(sorted(self.setup.ema)),
            self.augmenter.controller.state() if self.augmenter and self.augmenter.controller else None,
        )

    def load(self, tensors: Mapping[str, np.ndarray], metadata: StateMetadata) -> list[str]:
        """Restore the state from `tensors()` and `metadata()`. CheckpointError if anything is missing or does not fit.

        Weights that are not used at the checkpoint's resolution may be missing, for example if a run is resumed with a
        larger --max-size than it was started with. They keep their initial values. If the checkpoint has the state of
        another optimizer, that of the present one starts anew. Return a line for each such network.
        """
        notes = []
        try:
            position = self._stored_position(metadata.position) if metadata.position else None
            if position is not None:
                self._grow(position)
            missing = {}
            for name, network in self.setup.networks.items():
                values = with_prefix(tensors, f"net/{name}/")
                missing[name] = network.trainable().keys() - network.active_weights().keys() - values.keys()
                network.load_state(_fill_missing(network.state(), missing[name], values))
            for name in self.setup.ema:
                copy = self.ema.copies[name]
                copy.load_state(_fill_missing(copy.state(), missing[name], with_prefix(tensors, f"ema/{name}/")))
            for name, optimizer in self.optimizers.items():
                steps, former = metadata.optimizer_steps[name], _stored_optimizers(tensors, name)
                if former and optimizer.name not in former:
                    optimizer.reset()
                    notes.append(f"the optimizer of {name} was {former[0]}, is {optimizer.name}; its state starts anew")
                    continue
                if isinstance(steps, int):  # an old checkpoint, with one count for all weights
                    steps = dict.fromkeys(optimizer.steps, steps)
                fresh = [f"{slot}/{key}" for slot in optimizer.slots for key in missing[name]]
                values = _fill_missing(optimizer.state(), fresh, with_prefix(tensors, f"{optimizer.name}/{name}/"))
                optimizer.load_state(values, {**dict.fromkeys(missing[name], 0), **steps})
            if count := attribute_count(self.setup):
                self.attributes = attribute_rows(tensors, count)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the checkpoint's description is damaged ({error!r}).") from error
        if metadata.ada and self.augmenter and self.augmenter.controller:
            self.augmenter.controller.load(metadata.ada)
        self.progress = dataclasses.replace(metadata.progress, goal=self.progress.goal)
        self.position = position if self.progress.step else None
        self._grow(self.position or self.upcoming())
        backend.run_pending()
        return notes


def _stored_optimizers(tensors: Mapping[str, np.ndarray], network: str) -> list[str]:
    """Return the names of the optimizers whose state is stored for this network."""
    names = {name.partition("/")[0] for name in tensors if name.partition("/")[2].startswith(f"{network}/")}
    return sorted(names - {"net", "ema"})


def _fill_missing(
    state: Mapping[str, Any], missing: Iterable[str], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return `values`, with the current values of `state` for the names in `missing`."""
    return {**{name: state[name].numpy() for name in missing}, **values}
