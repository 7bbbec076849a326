"""Undoes what importing Jittor does to the process."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import signal
import ssl
import sys
from collections.abc import Iterator
from typing import Any

from ganzoo.backend import environment

# Jittor installs C handlers for these. Its SIGINT and SIGCHLD handlers end the process on the spot, without a
# checkpoint; the others print a misleading "Caught segfault" and exit with status 1.
_SIGNALS = ("SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT")


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Around `import jittor`: signal handlers, sys.exit and sys.excepthook, certificate checks, the recursion limit
    and PIL.Image.open are afterwards what they were before."""
    from PIL import Image

    numbers: list[int] = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    crash_reports = faulthandler.is_enabled()
    kept: dict[tuple[Any, str], Any] = {
        (sys, "executable"): sys.executable,
        (sys, "exit"): sys.exit,
        (sys, "excepthook"): sys.excepthook,
        (ssl, "_create_default_https_context"): ssl._create_default_https_context,
        (Image, "open"): Image.open,
    }
    recursion = sys.getrecursionlimit()
    sys.executable = environment.interpreter()
    try:
        yield
    finally:
        for (owner, name), value in kept.items():
            setattr(owner, name, value)
        sys.setrecursionlimit(recursion)
        _close_pool()
        _restore(handlers)
        if crash_reports:
            faulthandler.disable()
            faulthandler.enable()


def _close_pool() -> None:
    """End the worker processes of an import that had to compile. They would get our Ctrl-C too, and Jittor's own
    clean-up at exit waits for ever for a worker that a signal has ended."""
    utils: Any = sys.modules.get("jittor_utils")
    if utils is not None and getattr(utils, "pool_size", None):
        atexit.unregister(utils.pool_cleanup)
        utils.p.terminate()
        utils.p.join()
        utils.pool_size = 0  # a later compilation makes a new pool


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        # None means a handler that Python did not install; the default is the best that can be put back.
        with contextlib.suppress(ValueError, OSError):  # outside the main thread signals can't be set
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
