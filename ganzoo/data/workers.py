"""A `map` over processes that keeps the order, holds few results at a time and leaves no process behind."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from typing import Any, TypeVar

from ganzoo import signals
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
        time.sleep(signals.ECHO)  # a signal that ended the process, if it was sent to the group, is ours to answer
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
    with signals.blocked():
        resource_tracker.ensure_running()  # starting it later, with the first process, would unblock SIGINT again
    # Not by fork: this process may hold Jittor with its threads.
    return ProcessPoolExecutor(workers, get_context("spawn"), _start, (pickled,)), _call


def _ordered(pool: Executor, call: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for item in items:
        with signals.blocked():  # until a process that is started here has its own answer
            waiting.append(pool.submit(call, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# In the processes

_function: Callable[[Any], Any]


def _start(pickled: bytes) -> None:
    # A Ctrl-C or the end of a terminal reaches every process, and the parent answers for all. SIGTERM is what the
    # executor itself ends its processes with.
    for number in {*signals.SIGNALS} - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
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
