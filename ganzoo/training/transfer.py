"""Weights of another run that a new run starts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.loading import finite_weights
from ganzoo.checkpoints.zoo import sha256_of
from ganzoo.errors import CheckpointError
from ganzoo.training.matching import Match

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.training.layout import Key
    from ganzoo.training.state import TrainState


@dataclass(frozen=True)
class Transfer:
    """The weights that a new run starts with: where they are, how each array of the new networks is made of them, and
    `lines` that say so. `pretrained`: the networks that training leaves as they are get theirs from
    `Model.load_pretrained`."""

    path: Path
    sha256: str
    matches: dict[Key, Match]
    lines: tuple[str, ...]
    pretrained: bool

    def load(self, state: TrainState) -> None:
        """Replace the weights of a new state, trained ones and their EMA alike. CheckpointError if the file has changed
        since the plan was made."""
        if sha256_of(self.path) != self.sha256:
            raise CheckpointError(f"{self.path}: it has changed since this command began. Start again.")
        values = network_weights(checkpoint.read(self.path))
        for network in dict.fromkeys(network for network, _ in self.matches):
            arrays = {name: var.numpy() for name, var in state.setup.networks[network].state().items()}
            for name, fresh in arrays.items():
                if match := self.matches.get((network, name)):
                    arrays[name] = match.apply(values[network, match.name], fresh)
            state.setup.networks[network].load_state(arrays)
            if network in state.setup.ema:
                state.ema.copies[network].load_state(arrays)


def network_weights(saved: Checkpoint) -> dict[Key, np.ndarray]:
    """Return the arrays of a checkpoint's networks, those of the EMA where there is one. CheckpointError if a number is
    not finite."""
    stored = (name.split("/") for name in saved.tensors if name.startswith(("net/", "ema/")))
    networks = dict.fromkeys(network for _, network, *_ in stored)
    return {
        (network, name): value
        for network in networks
        for name, value in finite_weights(
            saved, f"{'ema' if network in saved.metadata.ema else 'net'}/{network}/"
        ).items()
    }
