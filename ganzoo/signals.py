"""Handling of signals that ask a process to end. A command ends immediately; training ends after the current step."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

# Ctrl-C, the end of a cluster job, a closed terminal, and a signal that mpirun forwards without ending the job.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ECHO = 0.1  # seconds in which a repeat counts as the same signal: `timeout` signals its child, then its group
IMPORTING = 0.05  # seconds until the next check whether an import, or a body of `blocked`, is over
SWALLOWED = 10.0  # seconds until the exception is raised again: destructors and callbacks may swallow it


_blocked = 0  # number of `blocked` bodies being run


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block the SIGNALS in this thread within the body; they are delivered afterwards. A Python process started in the
    body inherits the mask; some shells reset it."""
    global _blocked
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _blocked += 1  # another thread may still receive a signal, and Python handles it in the main thread
    try:
        yield
    finally:
        _blocked -= 1
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def survived() -> list[str]:
    """Return the SIGNALS that don't end this process immediately, by their shell names: INT, TERM and so on."""
    return [number.name[3:] for number in SIGNALS if signal.getsignal(number) != signal.SIG_DFL]


class Interrupts:
    """The signal handler of a command. At the first signal it stores the number and raises KeyboardInterrupt; the
    second signal ends the process immediately.

    An exception raised during an import may be swallowed, e.g. by Cython modules, so it is raised after the import, and
    again if the command has not ended SWALLOWED seconds later. Once the command is `over`, nothing is raised.
    """

    number: int | None = None
    over = False

    def __init__(self, answered: Iterable[int]) -> None:
        self.answered = tuple(answered)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self.number = number
            _second_one_kills(self.answered, number)
        if self.over:
            return
        later = _blocked > 0 or _importing(frame)
        signal.setitimer(signal.ITIMER_REAL, IMPORTING if later else SWALLOWED)
        if not later:
            raise KeyboardInterrupt

    @property
    def status(self) -> int:
        """The exit status, see `exit_status`."""
        return exit_status(self.number)


def exit_status(number: int | None) -> int:
    """Return the exit status by which a shell recognises the signal: 130 after Ctrl-C, and also if no signal is
    known."""
    return 128 + (number or signal.SIGINT)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_command: Interrupts | None = None  # handler of the running command


def _unanswered() -> bool:
    """Return whether the running command got a signal but goes on, because an import or a destructor swallowed the
    exception."""
    return _command is not None and _command.number is not None


# A socket pair, created once per process. Python writes the number of each signal to the second socket immediately,
# even during a long C++ call, and Jittor's compilation watches the first.
_arrivals: list[socket.socket] = []


def arrivals() -> int:
    """Return the descriptor of a socket that receives the number of each signal that a command handles; -1 if none
    does."""
    return _arrivals[0].fileno() if _arrivals else -1


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Within the body, the SIGNALS raise KeyboardInterrupt (see `Interrupts`). Signals that are ignored, such as SIGHUP
    under nohup, or that somebody else handles, are left alone."""
    global _command
    usual = (signal.SIG_DFL, signal.default_int_handler)
    former: dict[int, Any] = {
        number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) in usual
    }
    interrupts = Interrupts(former)
    if not former or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    if not _arrivals:
        _arrivals[:] = socket.socketpair()
        for end in _arrivals:
            end.setblocking(False)
    descriptor = signal.set_wakeup_fd(_arrivals[1].fileno(), warn_on_full_buffer=False)
    alarm = signal.signal(signal.SIGALRM, interrupts)
    for number in former:
        signal.signal(number, interrupts)
    _command = interrupts
    try:
        yield interrupts
    finally:
        _command = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)
        with contextlib.suppress(BlockingIOError):
            _arrivals[0].recv(1 << 16)  # these signals have been handled


def let_signals_arrive() -> None:
    """Let Python notice signals that C++ threads received: it does so only when the main thread next acquires the
    GIL."""
    time.sleep(0)


class Stop:
    """Whether to stop, and the number of the signal that asked for it."""

    number: int | None = None
    _at_once = False

    def __call__(self) -> bool:
        """Return whether a signal has arrived."""
        let_signals_arrive()
        return self.number is not None

    @property
    def status(self) -> int:
        """The exit status, see `exit_status`."""
        return exit_status(self.number)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the body, a signal also raises KeyboardInterrupt: for work that may take long and changes nothing.
        During an import it is raised afterwards, because a half-imported module may end the process later."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, or the timer that checks again whether an import is over."""
        if number != signal.SIGALRM:
            self.number = number
        if not self._at_once:
            return
        if _blocked > 0 or _importing(frame):
            signal.setitimer(signal.ITIMER_REAL, IMPORTING)
        else:
            raise KeyboardInterrupt


@contextlib.contextmanager
def watch_signals() -> Iterator[Stop]:
    """Within the body, the first of the SIGNALS only makes the yielded Stop true, so that training ends after the
    current step with a checkpoint (for other work see `Stop.at_once`); the second ends the process immediately. Ignored
    signals stay ignored. Raises KeyboardInterrupt if an earlier signal has not taken effect yet."""
    stop = Stop()
    former: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            _second_one_kills(SIGNALS, number)
        stop.note(number, frame)

    try:
        if _unanswered():
            raise KeyboardInterrupt
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, note)
        former[signal.SIGALRM] = signal.signal(signal.SIGALRM, note)
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for each, handler in former.items():
            signal.signal(each, handler)


def _second_one_kills(numbers: Any, first: int) -> None:
    """Restore the default action of these signals, so that the next one ends the process even if Python is busy. For
    ECHO seconds before, they are ignored, because the `first` may be repeated."""
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, signal.SIG_IGN)
    if first == signal.SIGHUP:
        _leave_terminal()
    time.sleep(ECHO)
    for number in handled:
        signal.signal(number, signal.SIG_DFL)


def _leave_terminal() -> None:
    """Redirect the standard streams to /dev/null if the terminal is closed, because writing to it would fail."""
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
