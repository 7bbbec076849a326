"""Rows of stats.jsonl."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ganzoo import backend
from ganzoo.runs import Run, is_number
from ganzoo.training.loss_stats import Report
from ganzoo.training.state import TrainState


class TickStats:
    """Number, time and speed of ticks. Steps that compile kernels are excluded from the speed."""

    def __init__(self, run: Run, images: int) -> None:
        rows = run.stats()
        self._ticks, self._seconds = len(rows), total_seconds(rows[-1]) if rows else 0.0
        self.restart(images)

    def restart(self, images: int) -> None:
        """Begin the next tick, after `images` images."""
        self._began, self._images_before = time.perf_counter(), images
        self._excluded_seconds, self._excluded_images = 0.0, 0

    def exclude(self, seconds: float, images: int) -> None:
        """Exclude time that was not spent on training, and the images seen in it."""
        self._excluded_seconds += seconds
        self._excluded_images += images

    def row(self, state: TrainState, report: Report) -> dict[str, Any]:
        """Return the row of the tick that ends now."""
        progress, position = state.progress, state.position or state.upcoming()
        seconds = time.perf_counter() - self._began
        self._ticks, self._seconds = self._ticks + 1, self._seconds + seconds
        images = progress.images - self._images_before - self._excluded_images
        training = max(seconds - self._excluded_seconds, 1e-9)
        if not images:  # only steps that compiled kernels
            images, training = self._excluded_images, seconds
        return {
            "tick": self._ticks,
            "step": progress.step,
            "images": progress.images,
            "kimg": progress.kimg,
            "size": position.stage.size,
            "alpha": round(position.alpha, 6),
            "seconds": round(self._seconds, 3),
            "images_per_second": round(images / training, 2),
            "seconds_per_kimg": round(training / max(images, 1) * 1000, 4),
            "memory_bytes": backend.resident_memory(),
            **({} if (gpu_memory := backend.gpu_memory()) is None else {"gpu_memory_bytes": gpu_memory}),
            "losses": report.losses,
            "watched": report.logged,
            "skipped": report.skipped,
        }


def total_seconds(row: Mapping[str, Any]) -> float:
    """Return the total training time in a row of the statistics; 0 if the row is damaged."""
    seconds: Any = row.get("seconds")
    return float(seconds) if is_number(seconds) else 0.0
