"""Training on ranks other than 0: same steps, no output, no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ganzoo import distributed
from ganzoo.checkpoints.description import StateMetadata
from ganzoo.distributed import collectives
from ganzoo.errors import DivergedError
from ganzoo.signals import Stop
from ganzoo.training.feed import Feed
from ganzoo.training.loop import train
from ganzoo.training.reporting.silent import SilentReporter
from ganzoo.training.state import TrainState

if TYPE_CHECKING:
    from ganzoo.training.plan import Plan


def follow(plan: Plan, stop: Stop) -> None:
    """Train alongside rank 0, which starts or resumes the run, writes its folder, and decides when to stop."""
    for retries_left in range(plan.train.retry, -1, -1):
        state = plan.initial_state()
        share_state(state)
        config = plan.model.loader_config(plan.options)
        feed = Feed(plan.dataset, plan.train, plan.data.channels, plan.flip, loader_config=config)
        try:
            train(state, feed, plan.train, SilentReporter(plan.train), stop)
            break
        except DivergedError:
            if not retries_left:
                raise
            plan = plan.with_next_seed()
    collectives.barrier()


def share_state(state: TrainState) -> None:
    """Copy the state of rank 0 to all other ranks."""
    if distributed.world_size() == 1:
        return
    metadata = collectives.broadcast_object(state.metadata().to_json())
    tensors = {name: collectives.broadcast(np.array(value)) for name, value in state.arrays()}
    if not distributed.is_rank_zero():
        state.load(tensors, StateMetadata.from_json(metadata))
