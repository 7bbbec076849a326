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
ECHO_SECONDS = 0.1  # a repeat within this time counts as the same signal: `timeout` signals its child, then its group
RETRY_SECONDS = 0.05  # between checks whether an exception can be raised, see `_must_wait`
RERAISE_SECONDS = 10.0  # before raising the exception again: destructors and callbacks may swallow it


_blocked = 0  # number of active `block_signals`


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
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


def handled_signals() -> list[str]:
    """Return the SIGNALS that don't end this process immediately, by their shell names: INT, TERM and so on."""
    return [number.name[3:] for number in SIGNALS if signal.getsignal(number) != signal.SIG_DFL]


class Interrupts:
    """The signal handler of a command. At the first signal it stores the number and raises KeyboardInterrupt; the
    second signal ends the process immediately.

    KeyboardInterrupt is raised when it can do no harm (see `_must_wait`), and again if the command has not ended
    RERAISE_SECONDS later. Once the command is `over`, nothing is raised.
    """

    number: int | None = None
    over = False

    def __init__(self, handled: Iterable[int]) -> None:
        self.handled = tuple(handled)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self.number = number
            _restore_default_actions(self.handled, number)
        if self.over:
            return
        must_wait = _must_wait(frame)
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS if must_wait else RERAISE_SECONDS)
        if not must_wait:
            raise KeyboardInterrupt

    @property
    def status(self) -> int:
        """The exit status, see `exit_status`."""
        return exit_status(self.number)


def exit_status(number: int | None) -> int:
    """Return the exit status by which a shell recognises the signal, such as 130 for Ctrl-C. If the signal is unknown,
    return 130."""
    return 128 + (number or signal.SIGINT)


# Functions of these modules that take or release a lock. An exception in threading.Condition.__enter__, for example,
# may leave the lock taken for ever, and then the threads of a pool never end. Functions of other modules may wait for
# long.
_LOCKING_MODULES = {"threading", "multiprocessing.synchronize", "tqdm.std"}
_LOCKING = {"__enter__", "__exit__", "acquire", "release", "_acquire_restore", "_release_save"}


def _is_locking(frame: FrameType | None) -> bool:
    return (
        frame is not None and frame.f_code.co_name in _LOCKING and frame.f_globals.get("__name__") in _LOCKING_MODULES
    )


def _must_wait(frame: FrameType | None) -> bool:
    """Return whether an exception in `frame` could do harm: within `block_signals`, in a function that takes or
    releases a lock, and during an import, where Cython modules may swallow it."""
    if _blocked > 0 or _is_locking(frame):
        return True
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_command: Interrupts | None = None  # handler of the running command


def _signal_pending() -> bool:
    """Return whether the running command got a signal but goes on, because an import or a destructor swallowed the
    exception."""
    return _command is not None and _command.number is not None


# A socket pair, created once per process. Python writes the number of each signal to the second socket immediately,
# even during a long C++ call, and Jittor's compilation watches the first.
_wakeup_sockets: list[socket.socket] = []


def wakeup_descriptor() -> int:
    """Return the descriptor of a socket that receives the number of each signal that a command handles; -1 if there
    is no socket."""
    return _wakeup_sockets[0].fileno() if _wakeup_sockets else -1


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Within the body, the SIGNALS raise KeyboardInterrupt (see `Interrupts`). Ignored signals, such as SIGHUP under
    nohup, and signals with a custom handler are left alone."""
    global _command
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    former: dict[int, Any] = {
        number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) in defaults
    }
    interrupts = Interrupts(former)
    if not former or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    if not _wakeup_sockets:
        _wakeup_sockets[:] = socket.socketpair()
        for end in _wakeup_sockets:
            end.setblocking(False)
    descriptor = signal.set_wakeup_fd(_wakeup_sockets[1].fileno(), warn_on_full_buffer=False)
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
        _restore_handlers(former, interrupts.number)
        signal.set_wakeup_fd(descriptor)
        with contextlib.suppress(BlockingIOError):
            _wakeup_sockets[0].recv(1 << 16)  # these signals have been handled


def let_signals_arrive() -> None:
    """Let Python notice signals that C++ threads received: it does so only when the main thread next acquires the
    GIL."""
    time.sleep(0)


class Stop:
    """A request to end training: by a signal, with its `number`, or by a plugin (`by_plugin`)."""

    number: int | None = None
    by_plugin = False
    _raising = False

    def __call__(self) -> bool:
        """Return whether a signal has arrived."""
        let_signals_arrive()
        return self.number is not None

    def request(self) -> None:
        """Ask training to end after the current step, on behalf of a plugin. Unlike after a signal,
        the last samples and reports are written."""
        self.by_plugin = True

    def requested(self) -> bool:
        """Return whether a signal has arrived or a plugin asked training to end."""
        return self() or self.by_plugin

    @property
    def status(self) -> int:
        """The exit status, see `exit_status`."""
        return exit_status(self.number)

    @contextlib.contextmanager
    def raise_immediately(self) -> Iterator[None]:
        """Within the body, a signal also raises KeyboardInterrupt. Use this for work that may take long and changes
        nothing. The exception is raised when it can do no harm, see `_must_wait`: a half-imported module, for example,
        may crash the process later."""
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, or the timer that checks again whether the exception can be raised."""
        if number != signal.SIGALRM:
            self.number = number
        if not self._raising:
            return
        if _must_wait(frame):
            signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
        else:
            raise KeyboardInterrupt


@contextlib.contextmanager
def watch_signals() -> Iterator[Stop]:
    """Within the body, the first of the SIGNALS to arrive only makes the yielded Stop true, so that training ends
    after the current step with a checkpoint (for other work see `Stop.raise_immediately`). The second ends the process
    immediately. Ignored signals stay ignored. Outside the main thread, which handles all signals, nothing is changed.
    Raises KeyboardInterrupt if an earlier signal has not taken effect yet.
    """
    stop = Stop()
    former: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            _restore_default_actions(SIGNALS, number)
        stop.handle(number, frame)

    try:
        if _signal_pending():
            raise KeyboardInterrupt
        if threading.current_thread() is not threading.main_thread():
            yield stop
            return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, handle)
        former[signal.SIGALRM] = signal.signal(signal.SIGALRM, handle)
        yield stop
    finally:
        if former:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _restore_handlers(former, stop.number)


def _restore_handlers(former: dict[int, Any], first: int | None) -> None:
    """Restore these signal handlers. After a SIGHUP, further ones stay ignored: see `_restore_default_actions`."""
    for number, handler in former.items():
        if not number == first == signal.SIGHUP:
            signal.signal(number, handler)


def _restore_default_actions(numbers: Any, first: int) -> None:
    """Restore the default action of these signals, so that the next one ends the process even if Python is busy. Ignore
    them for ECHO_SECONDS before that, because the `first` may be repeated. After a SIGHUP, ignore further ones for
    good: when a terminal closes, the kernel sends the first, and the shell another when it gets to run."""
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, signal.SIG_IGN)
    if first == signal.SIGHUP:
        _detach_from_terminal()
    time.sleep(ECHO_SECONDS)
    for number in handled:
        if not number == first == signal.SIGHUP:
            signal.signal(number, signal.SIG_DFL)


def _detach_from_terminal() -> None:
    """Redirect the standard streams to /dev/null if the terminal is closed, because writing to it would fail."""
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                devnull = os.open(os.devnull, os.O_RDWR)
                os.dup2(devnull, descriptor)
                os.close(devnull)
