"""The training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ganzoo import backend
from ganzoo.distributed import collectives
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import due
from ganzoo.training.feed import Feed
from ganzoo.training.preparation import Preparation
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

if TYPE_CHECKING:
    from ganzoo.training.following import Follower
    from ganzoo.training.reporting import Reporter

WARM_UP = 2  # steps in which kernels are compiled; their time is not counted in img/s


def train(
    state: TrainState,
    feed: Feed,
    options: TrainOptions,
    reporter: Reporter | Follower,
    preparation: Preparation | None,
    stop: Callable[[], bool],
) -> None:
    """Train until `options.kimg`, or until `stop` says so; on several ranks, until that of rank 0 does.

    The host waits for the device only in `reporter.tick`.
    """
    step = Step(state, options.seed, options.micro_batch, reporter.terms, reporter.watched)
    goal = due.goal(options)
    last, fresh = None, 0
    try:
        while state.progress.images < goal and not collectives.broadcast_object(stop()):
            moment = state.upcoming()
            if not moment.alike(last):
                reporter.moment(state, moment)
                fresh = WARM_UP
            count = moment.stage.batch
            images = feed.batch(moment.stage.size, count, state.progress.images)
            # A first step, right after a checkpoint or the beginning, can be given up: its kernels may take minutes.
            whole = contextlib.nullcontext() if fresh == WARM_UP else backend.uninterrupted()
            if fresh:
                started = time.perf_counter()
                with backend.watch_kernels(f"step {state.progress.step + 1}"), whole:
                    step(images)
                reporter.not_training(time.perf_counter() - started, count)
                reporter.compiled()
            else:
                if preparation:
                    preparation.start(state)
                with whole:
                    step(images)
            last, fresh = moment, max(fresh - 1, 0)
            first = state.progress.images == 0
            state.progress = state.progress.after(count)
            reporter.stepped(state)
            if first:
                reporter.begun(state)
            if reporter.due(state.progress, count):
                reporter.tick(state, count)
    finally:
        feed.close()
        if preparation:
            preparation.close()
    reporter.finish(state)
