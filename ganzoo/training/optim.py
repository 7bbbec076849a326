"""Adam over the weights of one network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.errors import CheckpointError
from ganzoo.model import Adam
from ganzoo.nets import Network


class Optimizer:
    """Adam (Kingma & Ba 2015, algorithm 1) with moments that can be saved by name.

    Jittor's own Adam counts backward passes instead of updates, so its bias correction is wrong when gradients are
    accumulated; and it bakes `1 - beta**t` into its kernels, which are compiled anew when that rounds to 1. Here the
    step count is of updates, and bias correction enters through two one-element Vars.
    """

    def __init__(self, network: Network, settings: Adam) -> None:
        self.network, self.settings, self.steps = network, settings, 0
        jt = jittor()
        self.weights: dict[str, Any] = network.trainable()
        self.first = {name: jt.zeros(var.shape).stop_grad() for name, var in self.weights.items()}
        self.second = {name: jt.zeros(var.shape).stop_grad() for name, var in self.weights.items()}

    def step(self, gradients: Sequence[Any]) -> None:
        """One update from a gradient per weight, in the order of `weights`."""
        jt, adam = jittor(), self.settings
        self.steps += 1
        correction1 = 1 - adam.beta1**self.steps
        correction2 = math.sqrt(1 - adam.beta2**self.steps)
        rate = jt.array(np.array([adam.learning_rate * correction2 / correction1], np.float32)).stop_grad()
        eps = jt.array(np.array([adam.eps * correction2], np.float32)).stop_grad()
        for (name, weight), gradient in zip(self.weights.items(), gradients):
            if adam.weight_decay:
                gradient = gradient + adam.weight_decay * weight
            first = adam.beta1 * self.first[name] + (1 - adam.beta1) * gradient
            second = adam.beta2 * self.second[name] + (1 - adam.beta2) * gradient.sqr()
            self.first[name].update(first)
            self.second[name].update(second)
            weight.update(weight - rate * first / (jt.sqrt(second) + eps))

    def state(self) -> dict[str, Any]:
        """The moments by 'first/NAME' and 'second/NAME', as live Vars."""
        moments = {f"first/{name}": var for name, var in self.first.items()}
        return {**moments, **{f"second/{name}": var for name, var in self.second.items()}}

    def load_state(self, values: Mapping[str, np.ndarray], steps: int) -> None:
        """Restore the moments and the number of updates done. CheckpointError if they don't fit."""
        state = self.state()
        if state.keys() != values.keys() or any(tuple(state[k].shape) != values[k].shape for k in state):
            raise CheckpointError("the checkpoint's optimizer state does not fit the network.")
        self.steps = steps
        for name, var in state.items():
            var.update(jittor().array(values[name]))
