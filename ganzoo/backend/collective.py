"""Means over the ranks of a job that mpirun started. Imported by what has started Jittor already.

Jittor runs operations when their results are needed, in an order that hangs on what else there is in a process. Ranks
that sent and received in different orders would mix up their numbers, or wait for ever. So whatever is pending is run
before each exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganzoo.backend import jittor, run_pending

jt: Any = jittor()


class BatchMean(jt.Function):  # type: ignore[misc]
    """See ranks.batch_mean. A function, as only so an exchange within a gradient can wait for its turn."""

    def execute(self, x: Any) -> Any:
        run_pending()
        return x.mpi_all_reduce("mean")

    def grad(self, gradient: Any) -> Any:
        return BatchMean()(gradient)


def averages(values: Sequence[Any]) -> list[Any]:
    """The mean of each Var over the ranks; no gradient goes through."""
    given = [value.detach() for value in values]
    run_pending()
    means = [value.mpi_all_reduce("mean") for value in given]
    run_pending()  # all of these wait for nothing but their turn, in which Jittor keeps to the order they were made in
    return means
