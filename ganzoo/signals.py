"""Signals that ask a process to end. A command ends at once; training ends after the current step."""

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

# Ctrl-C, the end of a job on a cluster, a terminal that was closed, and what mpirun passes on without ending the job.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ECHO = 0.1  # a repeat within so many seconds is the same signal: `timeout` sends to its child, then to its group
IMPORTING = 0.05  # seconds after which to look again whether an import, or a body of `blocked`, is over
SWALLOWED = 10.0  # seconds after which the exception must have arrived: destructors and callbacks swallow exceptions


_blocked = 0  # how many bodies of `blocked` are being run


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Within the body this thread takes none of the SIGNALS; they arrive afterwards. A Python that is started here
    inherits that; some shells don't."""
    global _blocked
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _blocked += 1  # another thread may take a signal all the same, and Python answers it in this one
    try:
        yield
    finally:
        _blocked -= 1
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def survived() -> list[str]:
    """The SIGNALS that don't end this process at once, as a shell calls them: INT, TERM and so on."""
    return [number.name[3:] for number in SIGNALS if signal.getsignal(number) != signal.SIG_DFL]


class Interrupts:
    """The handler of a command: raises KeyboardInterrupt at the first signal, and keeps its number. The second signal
    ends the process at once.

    What is raised within an import may be swallowed, as by modules in Cython, so it is raised after the import; and
    again, if the command has not ended by then. Once the command is `over`, nothing is raised.
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
        """See `exit_status`."""
        return exit_status(self.number)


def exit_status(number: int | None) -> int:
    """The exit status by which a shell knows the signal: 130 after Ctrl-C, also where no signal is known."""
    return 128 + (number or signal.SIGINT)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_command: Interrupts | None = None  # the handler of the command that runs


def _unanswered() -> bool:
    """Whether the command that runs got a signal, and goes on because an import or a destructor swallowed it."""
    return _command is not None and _command.number is not None


# Python sends the number of each signal here as soon as it comes, even within a long call of C++, and Jittor's
# compilation looks at the other end. Made once for the process.
_arrivals: list[socket.socket] = []


def arrivals() -> int:
    """The descriptor of a socket at which the numbers of signals arrive that a command answers; -1 if none does."""
    return _arrivals[0].fileno() if _arrivals else -1


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Within the body the SIGNALS raise KeyboardInterrupt: see `Interrupts`. Handlers of somebody else's, and signals
    that are ignored, as SIGHUP under nohup, stay so."""
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
            _arrivals[0].recv(1 << 16)  # what came is answered


def let_signals_arrive() -> None:
    """Python forgets, until the main thread takes its global lock again, a signal that a thread of C++ took."""
    time.sleep(0)


class Stop:
    """Whether to stop, and the number of the signal that said so."""

    number: int | None = None
    _at_once = False

    def __call__(self) -> bool:
        """Whether a signal came."""
        let_signals_arrive()
        return self.number is not None

    @property
    def status(self) -> int:
        """See `exit_status`."""
        return exit_status(self.number)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the body a signal raises KeyboardInterrupt too: for what may take long and changes nothing. Within an
        import it does so afterwards: a module that is half there may end the process later."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came, or the time after it to look again."""
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
    """Within the body the first of the SIGNALS only makes the yielded Stop true, so that training ends after the step
    with a checkpoint (see `Stop.at_once` for what is not training); the second one ends the process at once. Signals
    that are ignored stay so. KeyboardInterrupt if one came before that was not answered yet."""
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
    """Leave the next of these signals, but for an echo of the `first`, to the system, which needs no step of Python's
    to end the process."""
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, signal.SIG_IGN)
    if first == signal.SIGHUP:
        _leave_terminal()
    time.sleep(ECHO)
    for number in handled:
        signal.signal(number, signal.SIG_DFL)


def _leave_terminal() -> None:
    """Let output go nowhere if the terminal is closed: writing to it would be an error."""
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
