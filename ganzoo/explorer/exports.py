"""Animations of a walk through favourites. A frame is rendered whenever no picture of the page is waiting."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from starlette.datastructures import QueryParams

from ganzoo.errors import OptionError
from ganzoo.explorer.pictures import walk_command
from ganzoo.explorer.session import Session
from ganzoo.explorer.state import State
from ganzoo.explorer.worker import BusyError, Worker
from ganzoo.sampling import image_files

FORMATS = {"gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4"}
MAX_EXPORTS = 2  # at the same time
MAX_STOPS = 64
MAX_FRAMES = 2000
RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Walk:
    """A walk through favourites, `steps` frames from one to the next."""

    stops: list[State]
    steps: int
    fps: int
    format: str


def stops_of(query: QueryParams) -> list[State]:
    """Return the favourites in a query, each of which is a query itself. OptionError if there are too many or none."""
    texts = query.getlist("stop")
    if not 1 <= len(texts) <= MAX_STOPS:
        raise OptionError(f"a walk has from 2 to {MAX_STOPS} favourites.")
    return [State.from_query(dict(parse_qsl(text, max_num_fields=50))) for text in texts]


def parse_walk(query: QueryParams) -> Walk:
    """Parse the query of an animation. OptionError if a value is invalid."""
    walk = Walk(stops_of(query), *_settings(query), query.get("format", "webp"))
    if len(walk.stops) < 2:
        raise OptionError("a walk needs at least two favourites.")
    if walk.format not in FORMATS:
        raise OptionError(f"format: {walk.format[:40]!r} is not gif, webp or mp4.")
    if walk.format == "gif" and walk.fps > image_files.GIF_FPS:
        raise OptionError(f"fps: a GIF has at most {image_files.GIF_FPS}.")
    if len(walk.stops) * walk.steps > MAX_FRAMES:
        raise OptionError(f"steps: {len(walk.stops) * walk.steps:,} frames exceed the maximum of {MAX_FRAMES:,}.")
    return walk


def _settings(query: QueryParams) -> tuple[int, int]:
    """Return the steps and the frames per second."""
    steps, fps = query.get("steps", "15"), query.get("fps", "20")
    for name, text, most in (("steps", steps, 240), ("fps", fps, 60)):
        if not (text.isdecimal() and len(text) < 5 and 1 <= int(text) <= most):
            raise OptionError(f"{name}: {text[:40]!r} is not a whole number from 1 to {most}.")
    return int(steps), int(fps)


def command(session: Session, stops: list[State], query: QueryParams) -> str:
    """Return the command line that makes the same animation."""
    steps, fps = _settings(query)
    format_ = query.get("format", "webp")
    settings = ["--steps", str(steps), "--fps", str(fps), "--format", format_ if format_ in FORMATS else "webp"]
    assert session.controls is not None
    return walk_command(session.name, session.controls, stops, settings)


class CancelledError(Exception):
    """The browser no longer waits for the animation."""


class Export:
    """An animation that is being rendered: `render` runs in a thread of its own, and lets the worker draw each frame.
    Set `cancelled` to end it."""

    def __init__(self, session: Session, worker: Worker, walk: Walk) -> None:
        self.session, self.worker, self.walk = session, worker, walk
        self.cancelled = False

    def render(self) -> bytes:
        """Return the file. GanzooError if the model or this machine can't make it."""
        with tempfile.TemporaryDirectory(prefix="ganzoo-") as folder:
            path = Path(folder) / f"walk.{self.walk.format}"
            try:
                image_files.save_animation(path, self._frames(), self.walk.fps)
            except CancelledError:
                return b""
            return path.read_bytes()

    def _frames(self) -> Iterator[np.ndarray]:
        frames = self._drawn(lambda: self.session.walk(self.walk.stops, self.walk.steps))
        while (frame := self._drawn(lambda: next(frames, None))) is not None:
            yield frame

    def _drawn(self, job: Any) -> Any:
        while not self.cancelled:
            try:
                return self.worker.submit_frame(job).result()
            except futures.CancelledError:  # the worker was closed
                break
            except BusyError:
                if self.worker.closed:
                    break
                time.sleep(RETRY_SECONDS)
        raise CancelledError
