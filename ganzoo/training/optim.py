"""Adam over the weights of one network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor, updates
from ganzoo.errors import CheckpointError
from ganzoo.interfaces.model import Adam
from ganzoo.interfaces.networks import Network


class Optimizer:
    """Adam (Kingma & Ba 2015, algorithm 1) with moments that can be saved by name.

    Jittor's own Adam counts backward passes instead of updates, so its bias correction is wrong with gradient
    accumulation. It also compiles `1 - beta**t` into its kernels, which are recompiled when this value rounds to 1.
    This class counts updates per weight, because a growing network adds weights later, and passes the bias correction
    to the kernels in one-element Vars.
    """

    def __init__(self, network: Network, settings: Adam) -> None:
        self.network, self.settings, self.learning_rate = network, settings, settings.learning_rate
        jt = jittor()
        self._all: dict[str, Any] = network.trainable()
        self.weights = dict(self._all)  # updated by `step`
        self.steps = dict.fromkeys(self._all, 0)
        self.first = {name: jt.zeros(var.shape).stop_grad() for name, var in self._all.items()}
        self.second = {name: jt.zeros(var.shape).stop_grad() for name, var in self._all.items()}

    def set_active(self, names: Iterable[str]) -> None:
        """Update only these weights from now on."""
        wanted = set(names)
        self.weights = {name: var for name, var in self._all.items() if name in wanted}

    def reset(self) -> None:
        """Reset the moments and update counts, as if no update had been made."""
        for name, var in self.state().items():
            var.update(jittor().zeros(var.shape))
            self.steps[name.partition("/")[2]] = 0

    def step(self, gradients: Sequence[Any], finite: Any = None) -> None:
        """Update the weights with one gradient each, in the order of `weights`.

        If `finite`, a Var (1,), is 0, weights and moments keep their values, whatever the gradients are. The bias
        correction counts such an update too, because the host does not read `finite`.
        """
        finite = jittor().ones(1) if finite is None else finite
        for name in self.weights:
            self.steps[name] += 1
        scalars = np.array([self._scalars(self.steps[name], self._multiplier(name)) for name in self.weights])
        state = [(weight, self.first[name], self.second[name]) for name, weight in self.weights.items()]
        # Detach the weights, because Jittor retains everything computed from a weight that may need a gradient.
        detached = [(weight.detach(), first, second) for weight, first, second in state]
        for old, new in zip(state, updates.adam(detached, gradients, scalars, finite, self.settings)):
            for var, value in zip(old, new):
                var.update(value)

    def _multiplier(self, name: str) -> float:
        return math.prod(factor for prefix, factor in self.settings.multipliers.items() if name.startswith(prefix))

    def _scalars(self, steps: int, multiplier: float) -> tuple[float, float]:
        """Return the learning rate and eps of the `steps`-th update, both with bias correction."""
        adam = self.settings
        correction1, correction2 = 1 - adam.beta1**steps, math.sqrt(1 - adam.beta2**steps)
        return self.learning_rate * multiplier * correction2 / correction1, adam.eps * correction2

    def state(self) -> dict[str, Any]:
        """Return the moments by 'first/NAME' and 'second/NAME', as the optimizer's own Vars."""
        moments = {f"first/{name}": var for name, var in self.first.items()}
        return {**moments, **{f"second/{name}": var for name, var in self.second.items()}}

    def load_state(self, values: Mapping[str, np.ndarray], steps: Mapping[str, int]) -> None:
        """Restore the moments and update counts of all weights. CheckpointError if they don't match the network."""
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
