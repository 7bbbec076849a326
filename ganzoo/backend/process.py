"""Undoes what importing Jittor does to the process."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import ssl
import sys
from collections.abc import Iterator
from typing import Any

# Jittor installs C handlers for these. Its SIGINT and SIGCHLD handlers end the process on the spot, without a
# checkpoint; the others print a misleading "Caught segfault" and exit with status 1.
_SIGNALS = ("SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT")


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Around `import jittor`: signal handlers, sys.exit and sys.excepthook, certificate checks, the recursion limit
    and PIL.Image.open are afterwards what they were before."""
    from PIL import Image

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    crash_reports = faulthandler.is_enabled()
    kept = {
        (sys, "exit"): sys.exit,
        (sys, "excepthook"): sys.excepthook,
        (ssl, "_create_default_https_context"): ssl._create_default_https_context,
        (Image, "open"): Image.open,
    }
    recursion = sys.getrecursionlimit()
    try:
        yield
    finally:
        for (owner, name), value in kept.items():
            setattr(owner, name, value)
        sys.setrecursionlimit(recursion)
        _restore(handlers)
        if crash_reports:
            faulthandler.disable()
            faulthandler.enable()


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        # None means a handler that Python did not install; the default is the best that can be put back.
        with contextlib.suppress(ValueError, OSError):  # outside the main thread signals can't be set
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
