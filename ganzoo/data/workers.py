"""A `map` over processes that keeps the order, holds few results at a time and leaves no process behind."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from ganzoo.errors import DataError

AHEAD = 8  # results per worker that are held, so that no worker idles while the taker writes to a disk

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def parallel_map(
    function: Callable[[Item], Result], workers: int | None = None
) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """A `map` of `function` over `workers` processes (None: one per core), in order.

    `function` travels to each process once, so it may carry data; if it can't be pickled, threads take the place of
    processes. With one worker all is done in this thread. DataError if a process dies.
    """
    workers = workers or cores()
    if workers == 1:
        yield lambda items: map(function, items)
        return
    pool, call = _pool(function, workers)
    try:
        yield lambda items: _ordered(pool, call, items, ahead=AHEAD * workers)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that did part of the work died: too little memory, perhaps, for so many. (In a script of your "
            'own, this must stand under `if __name__ == "__main__":`.)'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(function: Callable[[Any], Any], workers: int) -> tuple[Executor, Callable[[Any], Any]]:
    try:
        pickled = pickle.dumps(function)
    except Exception:  # pickle.PicklingError, TypeError, AttributeError, and whatever a __getstate__ raises
        return ThreadPoolExecutor(workers), function
    # Not by fork: this process may hold Jittor with its threads.
    return ProcessPoolExecutor(workers, get_context("spawn"), _start, (pickled,)), _call


def _ordered(pool: Executor, call: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(pool.submit(call, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# In the processes

_function: Callable[[Any], Any]


def _start(pickled: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent answers for all
    warnings.simplefilter("ignore")  # Pillow's, of images that are read all the same
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _function
    _function = pickle.loads(pickled)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the parent was killed, and nobody else would end this process


def _call(item: Any) -> Any:
    return _function(item)
