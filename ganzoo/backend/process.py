"""Undo the side effects that importing Jittor has on the process."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ganzoo import signals
from ganzoo.backend import environment

# Jittor installs C handlers for these signals. Its SIGINT and SIGCHLD handlers end the process immediately, without a
# checkpoint; the others print a misleading "Caught segfault" and exit with status 1.
_SIGNALS = ("SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT")


ANNOUNCE_AFTER = 2.0  # seconds of waiting before a message appears
START_SECONDS = 2.0  # that a new thread may need on a busy machine

_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def preserve_process() -> Iterator[None]:
    """Preserve signal handlers, sys.exit, sys.excepthook, certificate checks, the recursion limit and PIL.Image.open
    across `import jittor` and the compilation that it starts. Signals are blocked meanwhile, except during the wait for
    another process that compiles Jittor."""
    from PIL import Image

    numbers: list[int] = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: _handler(number) for number in numbers}
    preserved: dict[tuple[Any, str], Any] = {
        (sys, "executable"): sys.executable,
        (sys, "exit"): sys.exit,
        (sys, "excepthook"): sys.excepthook,
        (ssl, "_create_default_https_context"): ssl._create_default_https_context,
        (Image, "open"): Image.open,
        (subprocess, "Popen"): subprocess.Popen,
    }
    recursion = sys.getrecursionlimit()
    sys.executable = environment.interpreter()
    subprocess.Popen = _Detached  # type: ignore[misc]
    notebook = os.environ.get("JPY_PARENT_PID")
    # With this variable, Jittor leaves Ctrl-C to Python. To block the signal here is not enough, because another thread
    # may receive it.
    os.environ["JPY_PARENT_PID"] = notebook or ""

    def restore_handlers() -> None:
        for number, handler in handlers.items():
            _libc.sigaction(number, handler, None)

    with signals.block_signals():
        try:
            with _import_lock(restore_handlers):
                yield
        finally:
            for (owner, name), value in preserved.items():
                setattr(owner, name, value)
            sys.setrecursionlimit(recursion)
            if notebook is None:
                os.environ.pop("JPY_PARENT_PID", None)
            restore_handlers()
            _close_pool()
            _shield_pool()


class _Detached(subprocess.Popen[Any]):
    """A child process that Ctrl-C does not reach. When a child is killed or stopped, Jittor's handler would end the
    parent process too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _libc.signal(signal.SIGCHLD, None)
        super().__init__(*args, **{"start_new_session": True, **kwargs})


@contextlib.contextmanager
def _import_lock(restore_handlers: Callable[[], None]) -> Iterator[None]:
    """Hold the lock under which Jittor is imported. The wait for the lock takes minutes if another process compiles
    Jittor, so signals can interrupt it: `restore_handlers` first restores Python's handlers."""
    from jittor_utils import lock

    restore_handlers()
    _detach_pool()
    if not lock.disable_lock:
        _acquire(lock.jittor_lock)
    try:
        yield
    finally:
        if lock.jittor_lock.is_locked:
            lock.jittor_lock.unlock()


def _acquire(lock: Any) -> None:
    previous = signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
    try:
        _flock(lock.handle)
        lock.is_locked = True
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _flock(file: Any) -> None:
    start, announced = time.monotonic(), False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not announced and time.monotonic() - start > ANNOUNCE_AFTER:
                print("waiting for another process to finish compiling Jittor", file=sys.stderr, flush=True)
                announced = True
            time.sleep(0.05)


def let_threads_start() -> None:
    """Wait up to START_SECONDS until every other thread sleeps. For the end of the process, before Jittor joins its
    threads for compilation: it would wait for ever for one that has been created but has not run yet."""
    end = time.monotonic() + START_SECONDS
    while _other_thread_runs() and time.monotonic() < end:
        time.sleep(0.01)


def _other_thread_runs() -> bool:
    own = threading.get_native_id()
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):  # the thread has ended
            if int(task.name) != own and task.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def _handler(number: int) -> ctypes.Array[ctypes.c_char]:
    """Return the C library's record of a signal handler. Python's `signal` module can't see faulthandler's handlers."""
    record = ctypes.create_string_buffer(512)  # a struct sigaction has at most 152 bytes
    _libc.sigaction(number, None, record)
    return record


def _close_pool() -> None:
    """End the worker processes of a compilation. Jittor's own clean-up at exit waits for ever if a signal has killed a
    worker."""
    utils: Any = sys.modules.get("jittor_utils")
    if utils is not None and getattr(utils, "pool_size", None):
        atexit.unregister(utils.pool_cleanup)
        for worker in utils.p._pool:
            worker.terminate = worker.kill  # it may have inherited a blocked SIGTERM
        utils.p.terminate()
        utils.p.join()
        utils.pool_size = 0  # a later compilation creates a new pool


def _detach_pool() -> None:
    """Shield the worker processes of a compilation, and the compilers that they run, from Ctrl-C."""
    import jittor_utils

    initialise = jittor_utils.pool_initializer

    def detached() -> None:
        os.setsid()
        initialise()

    if jittor_utils.pool_size == 0:
        jittor_utils.pool_initializer = detached


def _shield_pool() -> None:
    """Let worker processes finish later compilations, such as those of a plugin's operations, in spite of signals, and
    end the processes afterwards."""
    utils: Any = sys.modules.get("jittor_utils")
    if utils is None or hasattr(utils.run_cmds, "__wrapped__"):
        return
    run_cmds = utils.run_cmds

    @functools.wraps(run_cmds)
    def shielded(*args: Any, **kwargs: Any) -> None:
        with signals.block_signals():
            try:
                run_cmds(*args, **kwargs)
            finally:
                _close_pool()

    utils.run_cmds = shielded
