from __future__ import annotations

import contextlib
import importlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from ganzoo import cli, signals
from ganzoo.signals import ECHO_SECONDS, SIGNALS, interruptible, watch_signals

# This program prints "ready", and after a signal "stopping".
WAITING = """
import sys, time
from ganzoo.signals import watch_signals
with watch_signals() as stop:
    print("ready", flush=True)
    while not stop():
        time.sleep(0.01)
    print("stopping", flush=True)
    if "stubborn" in sys.argv:
        time.sleep(60)
    sys.exit(stop.status)
"""
# This command either works, or imports a module that swallows exceptions.
WORKING = """
import sys, time
from ganzoo.signals import interruptible
with interruptible() as interrupts:
    try:
        print("ready", flush=True)
        if "importing" in sys.argv:
            import swallowing
        else:
            time.sleep(60)
    except KeyboardInterrupt:
        if "stubborn" in sys.argv:
            print("stopping", flush=True)
            time.sleep(60)
        sys.exit(interrupts.status)
"""
SWALLOWING = """
import time
print("importing", flush=True)
begun = time.monotonic()
while time.monotonic() < begun + 1:
    try:
        time.sleep(0.01)
    except BaseException:
        pass
print("still importing", flush=True)
time.sleep(60)
"""


def start(*arguments: str, code: str = WAITING, **options) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, **options)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("code", [WAITING, WORKING], ids=["training", "command"])
def test_the_first_signal_is_handled_and_the_second_kills(number, code):
    with start(code=code) as child:
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    with start("stubborn", code=code) as child:
        child.send_signal(number)
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("code", [WAITING, WORKING], ids=["training", "command"])
def test_a_repeated_signal_counts_once(code):
    with start("stubborn", code=code) as child:
        for _ in range(20):
            child.send_signal(signal.SIGTERM)
            time.sleep(ECHO_SECONDS / 100)
        assert child.stdout.readline() == "stopping\n"  # printed ECHO_SECONDS after the first signal
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("code", [WAITING, WORKING], ids=["training", "command"])
def test_a_terminal_that_closes_may_send_sighup_again_later(code):
    # the kernel signals the foreground job, and the shell does it again when it gets to run
    code = f"import atexit, signal\natexit.register(signal.raise_signal, signal.SIGHUP)\n{code}"
    with start(code=code) as child:
        child.send_signal(signal.SIGHUP)
        assert child.wait(30) == 128 + signal.SIGHUP
    with start("stubborn", code=code) as child:
        child.send_signal(signal.SIGHUP)
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(signal.SIGHUP)
        time.sleep(2 * ECHO_SECONDS)
        assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


def test_an_interrupt_is_not_raised_during_an_import(tmp_path):
    (tmp_path / "swallowing.py").write_text(SWALLOWING)
    with start("importing", code=WORKING, env={**os.environ, "PYTHONPATH": str(tmp_path)}) as child:
        assert child.stdout.readline() == "importing\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "still importing\n"
        child.send_signal(signal.SIGALRM)  # the handler's timer sends it every RETRY_SECONDS during the import
        time.sleep(2 * signals.RETRY_SECONDS)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == -signal.SIGINT


def test_a_swallowed_interrupt_is_raised_again(monkeypatch, request):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    monkeypatch.setattr(signals, "RERAISE_SECONDS", 0.1)
    with interruptible() as interrupts:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)
    assert interrupts.status == 130


def test_a_command_that_failed_is_not_interrupted_while_it_reports_the_error(monkeypatch, request, tmp_path):
    """A signal during an import is handled a moment later, and the import may fail before that."""
    former = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, former))
    (tmp_path / "failing_when_asked.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGTERM)\nraise RuntimeError('because of the signal')"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def slowly(message: str, status: int) -> int:
        time.sleep(4 * signals.RETRY_SECONDS)
        return status

    monkeypatch.setattr(cli, "_fail", slowly)
    assert cli._status(lambda: importlib.import_module("failing_when_asked")) == 128 + signal.SIGTERM


def test_training_does_not_start_after_a_signal(request):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    with interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), watch_signals():
            pytest.fail("training went on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with interruptible(), watch_signals() as stop:
        assert not stop()


def test_what_nohup_ignores_stays_ignored():
    with start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as child:
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 128 + signal.SIGTERM


def test_previous_handlers_are_restored():
    former = {number: signal.getsignal(number) for number in SIGNALS}
    with watch_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert (stop(), stop.status) == (True, 143)
    assert {number: signal.getsignal(number) for number in SIGNALS} == former


def test_interruptible_work_ends_immediately():
    with watch_signals() as stop:
        with pytest.raises(KeyboardInterrupt), stop.raise_immediately():
            signal.raise_signal(signal.SIGTERM)
        assert stop()


# Like threading.Condition, but Ctrl-C arrives when the lock has just been taken, or is about to be released.
CONDITION = """
class Condition:
    def __init__(self, lock, method):
        self.lock, self.method = lock, method

    def __enter__(self):
        self.lock.acquire()
        if self.method == "__enter__":
            signal.raise_signal(signal.SIGINT)

    def __exit__(self, *error):
        if self.method == "__exit__":
            signal.raise_signal(signal.SIGINT)
        self.lock.release()
"""


@pytest.mark.parametrize("method", ["__enter__", "__exit__"])
@pytest.mark.parametrize("work", ["training", "command"])
def test_an_interrupt_leaves_no_lock_taken(method, work, request):
    """A lock that an interrupt left taken made the threads of a pool wait for ever, and so the process."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    names = {"__name__": "threading", "signal": signal}
    exec(CONDITION, names)
    lock = threading.Lock()

    def use() -> None:
        with names["Condition"](lock, method):
            pass
        time.sleep(30)

    if work == "training":
        with watch_signals() as stop, pytest.raises(KeyboardInterrupt), stop.raise_immediately():
            use()
    else:
        with interruptible(), pytest.raises(KeyboardInterrupt):
            use()
    assert not lock.locked()


class FileLock:
    """Waits for ever, as the lock of a download does while another process holds it."""

    def acquire(self) -> None:
        while True:
            time.sleep(0.01)


def test_waiting_for_the_lock_of_another_process_can_be_interrupted(request):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with interruptible() as interrupts, pytest.raises(KeyboardInterrupt):
        FileLock().acquire()
    assert interrupts.status == 130


IMPORTING = """
import sys, time
from ganzoo.signals import watch_signals
with watch_signals() as stop, stop.raise_immediately():
    print("ready", flush=True)
    try:
        import slow
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(stop.status)
"""
SLOW = """
import time
print("importing", flush=True)
time.sleep(1)
print("still importing", flush=True)
"""


def test_an_import_in_interruptible_work_is_completed(tmp_path):
    """Half-imported C++ modules of matplotlib ended the process at exit."""
    (tmp_path / "slow.py").write_text(SLOW)
    with start(code=IMPORTING, env={**os.environ, "PYTHONPATH": str(tmp_path)}) as child:
        assert child.stdout.readline() == "importing\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "still importing\n"
        assert child.wait(30) == 143


def test_where_ctrl_c_is_ignored_other_signals_are_handled():
    # as when a script runs `command &`
    with start(code=WORKING, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as child:
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 128 + signal.SIGTERM


def test_a_foreign_handler_is_left_alone(request):
    def own(number, frame):
        pass

    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGUSR1, own)):
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, handler)))
    with interruptible() as interrupts:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert interrupts.status == 128 + signal.SIGTERM
        assert signal.getsignal(signal.SIGUSR1) is own
    assert signal.getsignal(signal.SIGUSR1) is own


def test_without_a_signal_nothing_stops():
    with watch_signals() as stop:
        assert not stop()


def test_printing_to_a_closed_terminal_is_no_error():
    master, slave = pty.openpty()
    code = WAITING.replace("stopping", "stopping" * 1000)
    with subprocess.Popen([sys.executable, "-c", code], stdin=slave, stdout=slave, stderr=slave) as child:
        os.close(slave)
        shown = b""
        while not shown.endswith(b"\n"):  # the kernel passes on the word before the end of the line
            shown += os.read(master, 10)
        os.close(master)
        child.send_signal(signal.SIGHUP)
        assert child.wait(30) == 129


def test_a_blocked_signal_arrives_afterwards(request):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    reached = False
    with pytest.raises(KeyboardInterrupt), signals.block_signals():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
