"""Tests of the queue of pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from ganzoo.explorer import worker
from ganzoo.explorer.worker import BusyError, OvertakenError, Worker


class SlowModel:
    """Draws a number once `gate` is open, and remembers what it drew."""

    def __init__(self) -> None:
        self.gate, self.started = threading.Event(), threading.Event()
        self.drawn: list[object] = []

    def job(self, number: object):
        def draw() -> object:
            self.started.set()
            assert self.gate.wait(10)
            self.drawn.append(number)
            return number

        return draw


@pytest.fixture
def model() -> SlowModel:
    return SlowModel()


@pytest.fixture
def queue(model: SlowModel) -> Iterator[Worker]:
    """Return a worker that is busy with the picture 0 until the model's gate opens."""
    found = Worker()
    thread = threading.Thread(target=found.run)
    thread.start()
    found.submit("first", model.job(0))
    assert model.started.wait(10)
    yield found
    model.gate.set()
    found.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_picture_that_is_overtaken_is_dropped(queue: Worker, model: SlowModel) -> None:
    asked = [queue.submit(("tab", "main"), model.job(number)) for number in range(1, 9)]
    other = queue.submit(("other tab", "main"), model.job("other"))
    model.gate.set()
    assert (asked[-1].result(10), other.result(10)) == (8, "other")
    for former in asked[:-1]:
        with pytest.raises(OvertakenError):
            former.result(10)
    assert model.drawn == [0, 8, "other"]


def test_a_newer_picture_keeps_its_turn(queue: Worker, model: SlowModel) -> None:
    queue.submit("a", model.job("old"))
    queue.submit("b", model.job("b"))
    last = queue.submit("a", model.job("new"))
    queue.submit("c", model.job("c"))
    model.gate.set()
    last.result(10)
    queue.submit("end", model.job("end")).result(10)
    assert model.drawn == [0, "new", "b", "c", "end"]


def test_what_a_closed_tab_waited_for_is_not_drawn(queue: Worker, model: SlowModel) -> None:
    gone = queue.submit("gone", model.job("gone"))
    gone.cancel()
    model.gate.set()
    queue.submit("end", model.job("end")).result(10)
    assert model.drawn == [0, "end"]


def test_the_queue_is_bounded(queue: Worker, model: SlowModel) -> None:
    asked = [queue.submit(number, model.job(number)) for number in range(worker.MAX_WAITING)]
    with pytest.raises(BusyError):
        queue.submit("one more", model.job("one more"))
    queue.submit(0, model.job("newer"))  # takes the place of another
    asked[5].cancel()
    queue.submit("one more", model.job("one more"))
    frames = [queue.submit_frame(model.job("frame")) for _ in range(worker.MAX_FRAMES_WAITING)]
    with pytest.raises(BusyError):
        queue.submit_frame(model.job("frame"))
    model.gate.set()
    assert frames[-1].result(10) == "frame"
    assert model.drawn[-worker.MAX_FRAMES_WAITING :] == ["frame"] * worker.MAX_FRAMES_WAITING  # after all pictures


def test_an_error_belongs_to_its_picture(queue: Worker, model: SlowModel) -> None:
    failed = queue.submit("fails", lambda: 1 // 0)
    after = queue.submit("after", model.job("after"))
    model.gate.set()
    with pytest.raises(ZeroDivisionError):
        failed.result(10)
    assert after.result(10) == "after"


def test_closing_drops_what_waits(queue: Worker, model: SlowModel) -> None:
    waiting = queue.submit("waiting", model.job("waiting"))
    queue.close()
    model.gate.set()
    with pytest.raises(CancelledError):
        waiting.result(10)
    with pytest.raises(BusyError):
        queue.submit("late", model.job("late"))


def test_idle_time_is_used(model: SlowModel) -> None:
    quiet, looked = Worker(), threading.Event()
    thread = threading.Thread(target=quiet.run, args=(looked.set, 0.01))
    thread.start()
    assert looked.wait(10)
    quiet.close()
    thread.join(10)


def test_an_interruption_ends_the_worker_and_drops_its_picture() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    interrupted = Worker()
    picture = interrupted.submit("a", interrupt)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    with pytest.raises(OvertakenError):
        picture.result(10)
