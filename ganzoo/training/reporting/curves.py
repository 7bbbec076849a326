"""Loss curves in the run's folder."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ganzoo.plots import save_curves
from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training.reporting.logger import RunLogger

INTERVAL = 30.0  # seconds between redraws of the curves; a redraw takes about half a second


class CurvePlotter:
    """Plots losses.png from the statistics; `panels` maps a title to a pattern of the names drawn together."""

    def __init__(self, run: Run, panels: Mapping[str, str], logger: RunLogger, stop: Stop) -> None:
        self.run, self.panels, self.logger, self._stop = run, panels, logger, stop
        self._plotted = 0.0
        self._stale = True  # there may be statistics that have not been plotted

    def tick(self) -> None:
        """Plot the new statistics if the last plot is old enough."""
        self._stale = True
        if not self._stop() and time.perf_counter() - self._plotted > INTERVAL:
            self._plot()

    def finish(self) -> None:
        """Plot up to the end of training."""
        too_slow = not self._plotted and self._stop()  # the first plot imports matplotlib
        if self._stale and not too_slow:
            self._plot()

    def _plot(self) -> None:
        with self.logger.nonfatal("losses.png"):
            save_curves(self.run.path / "losses.png", self.run.stats(), self.panels)
        self._plotted, self._stale = time.perf_counter(), False
