"""The report in the run's folder."""

from __future__ import annotations

import time

from ganzoo.files import atomic_write
from ganzoo.registry.plugins import Registry
from ganzoo.reports import FILE, render
from ganzoo.reports.cache import ReportCache
from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training.reporting.logger import RunLogger

INTERVAL = 30.0  # least seconds between writings
SHARE = 0.005  # of the training time that writing may take, at most


class ReportWriter:
    """Writes report.html at ticks, and when training ends."""

    def __init__(self, run: Run, registry: Registry, logger: RunLogger, stop: Stop) -> None:
        self.run, self.registry, self.logger, self._stop = run, registry, logger, stop
        self._cache = ReportCache()
        self._next: float = 0.0

    def tick(self) -> None:
        """Write if the last report is old enough: the longer writing takes, the rarer it is."""
        if not self._stop() and time.perf_counter() >= self._next:
            self._write("running")

    def close(self, outcome: str) -> None:
        """Write how training ended."""
        self._write(outcome)

    def _write(self, state: str) -> None:
        began = time.perf_counter()
        with self.logger.nonfatal(FILE, interruptible=False):
            text = render(self.run, self.registry, state=state, cache=self._cache)
            atomic_write(self.run.path / FILE, text.encode())
        ended = time.perf_counter()
        self._next = ended + max(INTERVAL, (ended - began) / SHARE)
