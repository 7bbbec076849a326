"""The queue of pictures to draw. One thread works it off: Jittor is not thread-safe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

Job = Callable[[], Any]

MAX_WAITING = 64  # pictures
MAX_FRAMES_WAITING = 8


class BusyError(Exception):
    """Too many pictures are waiting."""


class OvertakenError(Exception):
    """A newer picture of the same place on the page was asked for."""


class Worker:
    """Runs jobs in the thread that calls `run`, pictures before frames of animations.

    A picture has a key, the tab and the place on the page where it is shown. A waiting picture whose key is asked for
    again is dropped, and the new one takes its turn.
    """

    def __init__(self) -> None:
        self._pictures: dict[Hashable, tuple[Job, Future[Any]]] = {}
        self._frames: deque[tuple[Job, Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def submit(self, key: Hashable, job: Job) -> Future[Any]:
        """Queue a picture, and return its future, which may be cancelled while it waits. Its exception is
        OvertakenError if it is dropped. BusyError if the queue is full."""
        future: Future[Any] = Future()
        with self._changed:
            self._forget_cancelled()
            former = self._pictures.get(key)
            if self._closed or (former is None and len(self._pictures) >= MAX_WAITING):
                raise BusyError
            self._pictures[key] = job, future
            self._changed.notify()
        if former is not None and former[1].set_running_or_notify_cancel():
            former[1].set_exception(OvertakenError())
        return future

    def submit_frame(self, job: Job) -> Future[Any]:
        """Queue a job that runs when no picture is waiting. BusyError if too many are waiting."""
        future: Future[Any] = Future()
        with self._changed:
            if self._closed or len(self._frames) >= MAX_FRAMES_WAITING:
                raise BusyError
            self._frames.append((job, future))
            self._changed.notify()
        return future

    def run(self, idle: Job = lambda: None, interval: float = 1.0) -> None:
        """Work until `close`. `idle` is called whenever nothing has been queued for `interval` seconds."""
        while True:
            with self._changed:
                if not (self._pictures or self._frames or self._closed):
                    self._changed.wait(interval)
                if self._closed:
                    return
                job = self._next()
            if job is None:
                idle()
            else:
                _carry_out(*job)

    def close(self) -> None:
        """Drop what is waiting, and end `run`."""
        with self._changed:
            self._closed = True
            waiting = [*self._pictures.values(), *self._frames]
            self._pictures.clear()
            self._frames.clear()
            self._changed.notify_all()
        for _, future in waiting:
            future.cancel()

    def _next(self) -> tuple[Job, Future[Any]] | None:
        if self._pictures:
            return self._pictures.pop(next(iter(self._pictures)))
        return self._frames.popleft() if self._frames else None

    def _forget_cancelled(self) -> None:
        for key in [key for key, (_, future) in self._pictures.items() if future.cancelled()]:
            del self._pictures[key]


def _carry_out(job: Job, future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except Exception as error:
        future.set_exception(error)
    except BaseException:
        future.set_exception(OvertakenError())
        raise
    else:
        future.set_result(result)
