"""The processes of a job that `mpirun` started: each, by its rank, computes its share of every batch.

Jittor brings MPI: OpenMPI on the CPU, NCCL among GPUs. Without mpirun there is one rank, and everything here does
nothing. All ranks must call in the same order whatever sends something, or they wait for each other for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_together = False


def count() -> int:
    """How many ranks there are."""
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this one, from 0."""
    return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))


def leads() -> bool:
    """Whether this is rank 0, which alone writes and prints."""
    return rank() == 0


def count_here() -> int:
    """How many ranks there are on this machine."""
    return int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1"))


def first_here() -> bool:
    """Whether this is the first rank of its machine."""
    return os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", "0") == "0"


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within the body all ranks do the same, each with its share of a batch; elsewhere `batch_mean` and `share` leave
    everything to the rank that calls them."""
    global _together
    former, _together = _together, True
    try:
        yield
    finally:
        _together = former


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Where the body ends otherwise than well, the process ends at once: at an orderly end MPI waits for the other
    ranks, which may be waiting for this one, and mpirun, which would end them, would not hear of it."""
    try:
        yield
    except BaseException as error:
        status = error.code if isinstance(error, SystemExit) else 1
        if count() == 1 or not status:
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def sharing() -> int:
    """How many ranks share each batch here: `count`, or 1 where this one works alone."""
    return count() if _together else 1


def batch_mean(x: Any) -> Any:
    """The mean of a Var over the ranks, the same on each. A mean over the images of a rank becomes one over the batch;
    so does its gradient, of any order, as derivative of what all ranks' losses add up to."""
    if sharing() == 1:
        return x
    from ganzoo.backend.collective import BatchMean

    return BatchMean()(x)


def averages(values: Sequence[Any]) -> list[Any]:
    """The means of several Vars over the ranks, the same on each, at once and without gradients."""
    if sharing() == 1:
        return list(values)
    from ganzoo.backend.collective import averages

    return averages(values)


def share(draw: Callable[[int], Any], images: int) -> Any:
    """This rank's part of what `draw` draws for a whole batch: rows for `images` images of each rank. So ranks that
    draw from the same seed get what one process would."""
    if sharing() == 1:
        return draw(images)
    return draw(images * count())[rank() * images : (rank() + 1) * images]


def told(value: Any) -> Any:
    """What rank 0 has for `value`, of what JSON knows."""
    import numpy as np

    if count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8).copy()
    length = spread(np.array([len(text)], np.int32))[0]
    return json.loads(spread(text if leads() else np.zeros(length, np.uint8)).tobytes())


def spread(array: np.ndarray) -> np.ndarray:
    """Rank 0's array; the others give one of the same shape and type. Waits for no GPU."""
    if count() > 1:
        _mpi().broadcast(array, 0)
    return array


def wait_for_all() -> None:
    """Wait until every rank is here."""
    if count() > 1:
        _mpi().mpi_barrier()


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """Rank 0 does the body, which may leave something on the disk, and then the others do, who find it there. If it
    fails on rank 0, they never come to it."""
    if not leads():
        wait_for_all()
    yield
    if leads():
        wait_for_all()


def uneven(batches: Iterable[int]) -> int | None:
    """The first of these sizes of batches that can't be split evenly among the ranks; None if all can."""
    return next((batch for batch in batches if batch % count()), None)


def _mpi() -> Any:
    from ganzoo.backend import jittor

    return jittor().mpi
