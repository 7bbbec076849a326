"""A `map` over processes that keeps the order, buffers few results and leaves no process behind."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError  # Python 3.10 has no common TimeoutError yet
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from ganzoo import signals
from ganzoo.errors import DataError

PREFETCH = 8  # results buffered per worker, so that no worker idles while the consumer writes to disk
CHECK_SECONDS = 1.0  # between checks that all processes are alive, while a result is awaited

Item = TypeVar("Item")
Result = TypeVar("Result")
Starting = Callable[[], AbstractContextManager[None]]


def cpu_count() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def parallel_map(
    function: Callable[[Item], Result], workers: int | None = None
) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """A `map` of `function` over `workers` processes (None: one per core), in order.

    `function` is sent to each process once, so it may contain large data. If it can't be pickled, threads replace the
    processes. With one worker everything runs in this thread. A process imports the main script only if `function` is
    from there; the script then needs `if __name__ == "__main__":`. DataError if a process dies.
    """
    workers = workers or cpu_count()
    if workers == 1:
        yield lambda items: map(function, items)
        return
    pool, call, starting = _pool(function, workers)
    try:
        yield lambda items: _ordered(pool, call, items, PREFETCH * workers, starting)
    except BaseException as error:
        _end_workers(pool)
        if not isinstance(error, BrokenProcessPool):
            raise
        # If a signal to the process group killed the worker, let this process's handler run first.
        time.sleep(signals.ECHO_SECONDS)
        raise DataError(
            "a worker process died, perhaps because memory ran out. "
            '(In a script, call this under `if __name__ == "__main__":`.)'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_workers(pool: Executor) -> None:
    """End the processes of a pool, whatever they do. Waiting for slow items would look as if a signal had no effect;
    and if another signal interrupts that wait, Python forgets the thread that manages the pool, and never ends."""
    if not isinstance(pool, ProcessPoolExecutor):
        return
    for process in _processes(pool):
        process.terminate()
    # A process that ends while it sends a result leaves the first part of it in the pipe, and the thread that manages
    # the pool waits for the rest. It gets an end of file once nobody can write to the pipe, so this process must not.
    pool._result_queue._writer.close()  # type: ignore[attr-defined]


def _processes(pool: Executor) -> list[BaseProcess]:
    return list((getattr(pool, "_processes", None) or {}).values())


def _pool(function: Callable[[Any], Any], workers: int) -> tuple[Executor, Callable[[Any], Any], Starting]:
    """Return a pool, the function to submit, and a context for submitting, in which processes may be started."""
    try:
        pickled = pickle.dumps(function)
    except Exception:  # PicklingError, TypeError, AttributeError, or anything that a __getstate__ raises
        return ThreadPoolExecutor(workers), function, nullcontext
    with signals.block_signals():
        resource_tracker.ensure_running()  # starting it together with the first worker would unblock SIGINT
    # Not forked: this process may have Jittor and its threads running.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _init_worker, (pickled,))
    return pool, _call, nullcontext if b"__main__" in pickled else _without_main


@contextmanager
def _without_main() -> Iterator[None]:
    """Within the body, new processes don't import the main script, which would run again if it has no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _ordered(
    pool: Executor, call: Callable[[Any], Any], items: Iterable[Any], ahead: int, starting: Starting
) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for item in items:
        # Signals are blocked also in a worker started here, until it has its own handlers.
        with signals.block_signals(), starting():
            waiting.append(pool.submit(call, item))
        if len(waiting) > ahead:
            yield _result(pool, waiting.popleft())
    while waiting:
        yield _result(pool, waiting.popleft())


def _result(pool: Executor, future: Future[Any]) -> Any:
    """Return the result of `future`, or raise its exception. BrokenProcessPool also if a process died while it sent a
    result, which Python's pool does not notice: it waits for the rest."""
    while True:
        try:
            return future.result(CHECK_SECONDS)
        except FutureTimeoutError:
            if future.done():
                return future.result()  # the function itself may raise a TimeoutError
            if wait([process.sentinel for process in _processes(pool)], timeout=0):
                _end_workers(pool)


# Code that runs in the workers

_function: Callable[[Any], Any]


def _init_worker(pickled: bytes) -> None:
    # Ctrl-C or closing the terminal signals every process; the parent handles it for all. SIGTERM must keep its effect:
    # the executor uses it to end its workers.
    for number in {*signals.SIGNALS} - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
    warnings.simplefilter("ignore")  # Pillow's, about images that it can read anyway
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _function
    _function = pickle.loads(pickled)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the parent was killed, so nothing else would end this process


def _call(item: Any) -> Any:
    return _function(item)
