"""Communication between ranks by Jittor's MPI: OpenMPI on the CPU, NCCL between GPUs. A single rank sends nothing.

All ranks must make these calls in the same order, or they wait for each other forever. Jittor runs operations when
their results are needed, in an order that depends on what else is pending, so everything pending is run before each
exchange.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.distributed import data_parallel_size, is_rank_zero, rank, world_size


def batch_mean(x: Any) -> Any:
    """Return the mean of a Var over the ranks, the same on each: a mean over one rank's images becomes the mean over
    the batch. Gradients of any order are those of the sum of all ranks' losses."""
    return x if data_parallel_size() == 1 else _batch_mean()()(x)


@functools.cache
def _batch_mean() -> Any:
    jt: Any = jittor()

    class BatchMean(jt.Function):  # type: ignore[misc]
        # A jt.Function, because otherwise an exchange in a backward pass would not wait for its turn.
        def execute(self, x: Any) -> Any:
            run_pending()
            return x.mpi_all_reduce("mean")

        def grad(self, gradient: Any) -> Any:
            return BatchMean()(gradient)

    return BatchMean


def all_reduce_mean(values: Sequence[Any]) -> list[Any]:
    """Return the means of several Vars over the ranks, the same on each. Gradients don't flow through."""
    if data_parallel_size() == 1:
        return list(values)
    detached = [value.detach() for value in values]
    run_pending()
    means = [value.mpi_all_reduce("mean") for value in detached]
    run_pending()  # nothing else is pending, so Jittor runs them in the order of their creation
    return means


def all_gather(x: Any) -> Any:
    """Return the rows of all ranks' Vars (N, ...), in the order of the ranks, the same on each. Gradients don't flow
    through."""
    ranks = data_parallel_size()
    if ranks == 1:
        return x.detach()
    own = np.zeros((ranks,) + (1,) * x.ndim, np.int32)
    own[rank()] = 1
    shape = (ranks, *x.shape)
    # Select rather than multiply, because NaN * 0 is NaN. In the sum, all rows but one are 0, so it is exact.
    padded = jittor().ternary(jittor().array(own).broadcast(shape), x.detach().unsqueeze(0).broadcast(shape), 0.0)
    run_pending()
    rows = padded.mpi_all_reduce("add")
    run_pending()
    return rows.reshape((ranks * x.shape[0], *x.shape[1:]))


def broadcast_object(value: Any) -> Any:
    """Return rank 0's `value` on every rank. It must be JSON-serialisable."""
    if world_size() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8).copy()
    length = broadcast(np.array([len(text)], np.int32))[0]
    return json.loads(broadcast(text if is_rank_zero() else np.zeros(length, np.uint8)).tobytes())


def broadcast(array: np.ndarray) -> np.ndarray:
    """Copy rank 0's array to all ranks. All ranks pass arrays of equal shape and dtype. Does not wait for the GPU."""
    if world_size() > 1:
        jittor().mpi.broadcast(array, 0)
    return array


def barrier() -> None:
    """Wait until every rank has reached this call."""
    if world_size() > 1:
        jittor().mpi.mpi_barrier()


@contextlib.contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run the body on rank 0, then on the others, which find the files that rank 0 wrote. If it fails on rank 0, the
    others never run it."""
    if not is_rank_zero():
        barrier()
    yield
    if is_rank_zero():
        barrier()
