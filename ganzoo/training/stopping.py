"""Signals that end training early, with a checkpoint."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

# Ctrl-C, the end of a job on a cluster, a terminal that was closed, and what mpirun passes on without ending the job.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
ECHO = 0.1  # seconds in which a signal is the first one again: `timeout` sends to its child, and then to the group


class Interrupts:
    """A handler for SIGINT that raises KeyboardInterrupt, as Python's does, and remembers it: modules written in
    Cython, and others, swallow what is raised while they are imported."""

    seen = False

    def __call__(self, number: int, frame: Any) -> None:
        self.seen = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def remember_interrupts() -> Iterator[None]:
    """Within the body no Ctrl-C is forgotten: `watch_signals` ends at once if there was one. A handler of somebody
    else's stays."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, Interrupts())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Stop:
    """Whether to stop, and the number of the signal that said so."""

    number: int | None = None

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    @property
    def status(self) -> int:
        """The exit status by which a shell knows the signal: 130 after Ctrl-C."""
        return 128 + (self.number or signal.SIGINT)


@contextlib.contextmanager
def watch_signals() -> Iterator[Stop]:
    """Within the body the first of the SIGNALS only makes the yielded Stop true, so that training ends after the step
    with a checkpoint; the second one ends the process at once. Signals that are ignored, as SIGHUP under nohup, stay
    so. KeyboardInterrupt if a Ctrl-C was swallowed before."""
    stop = Stop()
    former: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        stop.number = number
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        time.sleep(ECHO)
        for each in former:
            signal.signal(each, signal.SIG_DFL)  # the system's own answer, which needs no step of Python's

    try:
        before = signal.getsignal(signal.SIGINT)
        if isinstance(before, Interrupts) and before.seen:
            raise KeyboardInterrupt
        for name in SIGNALS:
            number: int = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, note)
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
