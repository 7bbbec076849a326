"""Events that plugins can hook into: the start of a run, each tick, and the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganzoo.registry.plugins import Registry
from ganzoo.training.reporting.logger import RunLogger


class PluginEvents:
    """Calls the event hooks of plugins. A plugin that fails is reported once, and does not end training."""

    def __init__(self, registry: Registry, folder: Path, logger: RunLogger) -> None:
        self.registry, self.folder, self.logger = registry, folder, logger

    def run_start(self, options: dict[str, Any]) -> None:
        """Report the start of a session; `options` is the content of options.json."""
        self._notify("ganzoo_run_start", options=options)

    def tick(self, stats: dict[str, Any]) -> None:
        """Report a tick, with its row of the statistics."""
        self._notify("ganzoo_tick", stats=stats)

    def run_end(self, outcome: str) -> None:
        """Report the end of a session: 'finished', 'interrupted' or 'failed'."""
        self._notify("ganzoo_run_end", outcome=outcome)

    def _notify(self, event: str, **arguments: Any) -> None:
        for failure in self.registry.notify(event, run=self.folder, **arguments):
            self.logger.info_once(failure)
