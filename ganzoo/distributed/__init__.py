"""Ranks started by `mpirun`: this process's rank, the world size, and each rank's share of a batch.

All of this comes from environment variables, so it is known before Jittor is imported. Communication between ranks is
in `ganzoo.distributed.collectives`. Without mpirun there is one rank.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_data_parallel = False


def world_size() -> int:
    """Return the number of ranks."""
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's rank, from 0."""
    return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))


def is_rank_zero() -> bool:
    """Return whether this is rank 0, the only one that writes files and prints."""
    return rank() == 0


def local_world_size() -> int:
    """Return the number of ranks on this machine."""
    return int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1"))


def is_local_rank_zero() -> bool:
    """Return whether this is the first rank on its machine."""
    return os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", "0") == "0"


@contextlib.contextmanager
def data_parallel() -> Iterator[None]:
    """Within the body, each rank computes its share of each batch. Elsewhere a rank works alone, and `batch_mean` and
    `shard` involve no other rank."""
    global _data_parallel
    previous, _data_parallel = _data_parallel, True
    try:
        yield
    finally:
        _data_parallel = previous


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """End the process immediately if the body fails on one of several ranks. A normal exit would wait in MPI for the
    other ranks, which may be waiting for this one, and mpirun would not learn that it must end them."""
    try:
        yield
    except BaseException as error:
        status = error.code if isinstance(error, SystemExit) else 1
        if world_size() == 1 or not status:
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def data_parallel_size() -> int:
    """Return the number of ranks that share a batch: all of them while training is data-parallel (inside `with
    data_parallel():`), else 1."""
    return world_size() if _data_parallel else 1


def shard(draw: Callable[[int], Any], images: int) -> Any:
    """Draw the whole batch with `draw(count)` and return this rank's share of it, `images` rows. Together, ranks that
    draw from the same seed get the rows that a single process would draw."""
    if data_parallel_size() == 1:
        return draw(images)
    return draw(images * world_size())[rank() * images : (rank() + 1) * images]


def first_indivisible(batches: Iterable[int]) -> int | None:
    """Return the first batch size that can't be split evenly among the ranks; None if all can."""
    return next((batch for batch in batches if batch % world_size()), None)
