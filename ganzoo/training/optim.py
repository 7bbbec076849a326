"""The optimizer of one network, with its state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor, updates
from ganzoo.errors import CheckpointError
from ganzoo.interfaces.networks import Network
from ganzoo.interfaces.optimizers import Optimizer, WeightUpdate
from ganzoo.interfaces.schedules import LearningRateSchedule, rate_at


class NetworkOptimizer:
    """An optimizer over the weights of one network, with state that can be saved by name.

    Jittor's optimizers count backward passes instead of updates, so the bias correction of its Adam is wrong with
    gradient accumulation. They also compile numbers such as `1 - beta**t` into their kernels, which are recompiled when
    such a value rounds to 1. This class counts updates per weight, because a growing network adds weights later, and
    passes numbers to the kernels in Vars.
    """

    def __init__(self, network: Network, settings: Optimizer) -> None:
        self.network, self.settings = network, settings
        self.learning_rate = rate_at(settings.learning_rate, 0.0)
        self._all: dict[str, Any] = network.trainable()
        self.weights = dict(self._all)  # updated by `step`
        self.steps = dict.fromkeys(self._all, 0)
        zeros = jittor().zeros
        self.slots = {
            slot: {name: zeros(var.shape).stop_grad() for name, var in self._all.items()} for slot in settings.slots
        }
        self._by_weight = {name: tuple(arrays[name] for arrays in self.slots.values()) for name in self._all}

    def set_active(self, names: Iterable[str]) -> None:
        """Update only these weights from now on."""
        wanted = set(names)
        self.weights = {name: var for name, var in self._all.items() if name in wanted}

    @property
    def name(self) -> str:
        """The name of the optimizer, under which checkpoints store the state."""
        return self.settings.name

    @property
    def scheduled(self) -> bool:
        """Whether the settings contain a schedule for the learning rate."""
        return isinstance(self.settings.learning_rate, LearningRateSchedule)

    def set_learning_rate(self, fraction: float, override: float | None = None) -> None:
        """Set the learning rate after this fraction of training; `override`, if given, replaces that of the
        settings."""
        self.learning_rate = rate_at(self.settings.learning_rate, fraction) if override is None else override

    def reset(self) -> None:
        """Reset the state and the update counts, as if no update had been made."""
        self.steps = dict.fromkeys(self._all, 0)
        for var in self.state().values():
            var.update(jittor().zeros(var.shape))

    def step(self, gradients: Sequence[Any], finite: Any = None) -> None:
        """Update the weights with one gradient each, in the order of `weights`.

        If `finite`, a Var (1,), is 0, weights and state keep their values, whatever the gradients are. The update count
        includes such an update, because the host does not read `finite`.
        """
        settings, finite = self.settings, jittor().ones(1) if finite is None else finite
        for name in self.weights:
            self.steps[name] += 1
        if settings.clip_norm is not None:
            gradients = updates.clip_norm(gradients, settings.clip_norm)
        if settings.clip_value is not None:
            gradients = list(updates.clip(gradients, settings.clip_value))
        pending = [self._pending(name, gradient) for name, gradient in zip(self.weights, gradients)]
        for name, new in zip(self.weights, settings.update(pending, finite)):
            for var, value in zip((self.weights[name], *self._by_weight[name]), new):
                var.update(value)
        if settings.clip_weights is not None:
            detached = [weight.detach() for weight in self.weights.values()]
            for weight, value in zip(self.weights.values(), updates.clip(detached, settings.clip_weights, finite)):
                weight.update(value)

    def _pending(self, name: str, gradient: Any) -> WeightUpdate:
        # Detach the weight, because Jittor retains everything computed from a weight that may need a gradient.
        weight, rate = self.weights[name].detach(), self.learning_rate * self._multiplier(name)
        return WeightUpdate(weight, self._by_weight[name], gradient, rate, self.steps[name])

    def _multiplier(self, name: str) -> float:
        return math.prod(factor for prefix, factor in self.settings.multipliers.items() if name.startswith(prefix))

    def state(self) -> dict[str, Any]:
        """Return the state by 'SLOT/NAME', e.g. 'first/NAME' and 'second/NAME', as the optimizer's own Vars."""
        return {f"{slot}/{name}": var for slot, arrays in self.slots.items() for name, var in arrays.items()}

    def load_state(self, values: Mapping[str, np.ndarray], steps: Mapping[str, int]) -> None:
        """Restore the state and update counts of all weights. CheckpointError if they don't match the network."""
        state = self.state()
        if state.keys() != values.keys() or any(
            (tuple(var.shape), str(var.dtype)) != (values[name].shape, str(values[name].dtype))
            for name, var in state.items()
        ):
            raise CheckpointError("the checkpoint's optimizer state does not fit the network.")
        if steps.keys() != self.steps.keys():
            raise CheckpointError("the checkpoint's update counts do not fit the network.")
        self.steps = {name: int(count) for name, count in steps.items()}
        for name, var in state.items():
            var.update(jittor().array(values[name]))
