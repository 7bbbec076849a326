from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

import pytest

from ganzoo.signals import ECHO, SIGNALS, interruptible, watch_signals

# Says when it is ready, and then what became of it after each signal.
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


def start(*arguments: str, **options) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", WAITING, *arguments], stdout=subprocess.PIPE, text=True, **options)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("name", SIGNALS)
def test_the_first_signal_asks_and_the_second_ends_at_once(name):
    number = getattr(signal, name)
    with start() as child:
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    with start("stubborn") as child:
        child.send_signal(number)
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


def test_a_signal_that_is_sent_twice_at_once_is_one():
    with start("stubborn") as child:
        for _ in range(20):
            child.send_signal(signal.SIGTERM)
            time.sleep(ECHO / 100)
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


def test_an_interrupt_that_an_import_swallowed_is_not_forgotten(request):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a CI may run us ignoring it
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


def test_the_former_handlers_are_put_back():
    former = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    with watch_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert (stop(), stop.status) == (True, 143)
    assert {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS} == former


def test_without_a_signal_nothing_stops():
    with watch_signals() as stop:
        assert not stop()
