"""Undoes what importing Jittor does to the process."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import signal
import ssl
import sys
from collections.abc import Iterator
from typing import Any

from ganzoo.backend import environment

# Jittor installs C handlers for these. Its SIGINT and SIGCHLD handlers end the process on the spot, without a
# checkpoint; the others print a misleading "Caught segfault" and exit with status 1.
_SIGNALS = ("SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT")


_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Around `import jittor`: signal handlers, sys.exit and sys.excepthook, certificate checks, the recursion limit
    and PIL.Image.open are afterwards what they were before. A Ctrl-C waits until then."""
    from PIL import Image

    numbers: list[int] = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: _handler(number) for number in numbers}
    kept: dict[tuple[Any, str], Any] = {
        (sys, "executable"): sys.executable,
        (sys, "exit"): sys.exit,
        (sys, "excepthook"): sys.excepthook,
        (ssl, "_create_default_https_context"): ssl._create_default_https_context,
        (Image, "open"): Image.open,
    }
    recursion = sys.getrecursionlimit()
    sys.executable = environment.interpreter()
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        for (owner, name), value in kept.items():
            setattr(owner, name, value)
        sys.setrecursionlimit(recursion)
        _close_pool()
        for number, handler in handlers.items():
            _libc.sigaction(number, handler, None)
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)


def _handler(number: int) -> ctypes.Array[ctypes.c_char]:
    """The C library's record of a handler. Python knows neither those of faulthandler nor where they report to."""
    record = ctypes.create_string_buffer(512)  # a struct sigaction, of at most 152 bytes
    _libc.sigaction(number, None, record)
    return record


def _close_pool() -> None:
    """End the worker processes of an import that had to compile. They would get our Ctrl-C too, and Jittor's own
    clean-up at exit waits for ever for a worker that a signal has ended."""
    utils: Any = sys.modules.get("jittor_utils")
    if utils is not None and getattr(utils, "pool_size", None):
        atexit.unregister(utils.pool_cleanup)
        utils.p.terminate()
        utils.p.join()
        utils.pool_size = 0  # a later compilation makes a new pool
