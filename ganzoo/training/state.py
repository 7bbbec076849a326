"""Everything that training changes, in one object that can be written to a checkpoint and restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.data import DataInfo
from ganzoo.errors import CheckpointError
from ganzoo.model import Model, Setup
from ganzoo.options import Options
from ganzoo.training.averaging import Averages
from ganzoo.training.optim import Optimizer
from ganzoo.training.progress import Progress


class TrainState:
    """Networks, optimizers, averages and progress of one run."""

    def __init__(self, model: Model, options: Options, data: DataInfo, seed: int) -> None:
        backend.seed(seed, 0)
        self.setup: Setup = model.build(options, data)
        self.progress = Progress()
        self.optimizers = {
            name: Optimizer(self.setup.networks[name], adam) for name, adam in self.setup.optimizers.items()
        }
        kept = {self.setup.generator, *self.setup.averages}
        twins = {name: network for name, network in model.build(options, data).networks.items() if name in kept}
        self.averages = Averages(self.setup.networks, twins, self.setup.averages)
        backend.run_pending()

    def tensors(self) -> dict[str, np.ndarray]:
        """Every array of the state: 'net/...', 'ema/...' and 'adam/...'. The one place that copies weights to host."""
        groups = [(f"net/{name}", network.state()) for name, network in self.setup.networks.items()]
        groups += [(f"ema/{name}", self.averages.twins[name].state()) for name in self.setup.averages]
        groups += [(f"adam/{name}", optimizer.state()) for name, optimizer in self.optimizers.items()]
        return {f"{prefix}/{key}": var.numpy() for prefix, state in groups for key, var in state.items()}

    def metadata(self) -> dict[str, Any]:
        """The part of the state that is not an array."""
        return {
            "progress": dataclasses.asdict(self.progress),
            "optimizer_steps": {name: optimizer.steps for name, optimizer in self.optimizers.items()},
            "averaged": sorted(self.setup.averages),
        }

    def load(self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
        """Restore what `tensors` and `metadata` gave. CheckpointError if anything is missing or does not fit."""
        for name, network in self.setup.networks.items():
            network.load_state(part(tensors, f"net/{name}/"))
        for name in self.setup.averages:
            self.averages.twins[name].load_state(part(tensors, f"ema/{name}/"))
        try:
            for name, optimizer in self.optimizers.items():
                optimizer.load_state(part(tensors, f"adam/{name}/"), int(metadata["optimizer_steps"][name]))
            self.progress = Progress(**metadata["progress"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's description is damaged ({error!r}).") from error
        backend.run_pending()


def part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
