"""Events that plugins can hook into: the start of a run, what training writes and measures, and the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import printable
from ganzoo.interfaces.progress import Progress
from ganzoo.registry.plugins import Registry
from ganzoo.signals import Stop
from ganzoo.training.reporting.logger import RunLogger


class PluginEvents:
    """Calls the event hooks of plugins. A plugin that fails is reported once, and does not end training. A plugin that
    answers with a reason does: `stop` then requests it."""

    def __init__(self, registry: Registry, folder: Path, logger: RunLogger, stop: Stop) -> None:
        self.registry, self.folder, self.logger, self._stop = registry, folder, logger, stop

    def run_start(self, options: dict[str, Any], progress: Progress) -> None:
        """Report the start of a session; `options` is the content of options.json."""
        self._notify("ganzoo_run_start", options=options, step=progress.step, images=progress.images)

    def tick(self, stats: dict[str, Any]) -> None:
        """Report a tick, with its row of the statistics."""
        self._ask("ganzoo_tick", stats=stats)

    def checkpoint(self, path: Path) -> None:
        """Report a checkpoint that is on disk."""
        self._ask("ganzoo_checkpoint", path=path, images=checkpoint.images_seen(path))

    def evaluation(self, metrics: dict[str, float], images: int) -> None:
        """Report metrics, if any have been measured after `images` images."""
        if metrics:
            self._ask("ganzoo_evaluation", metrics=metrics, images=images)

    def pictures(self, paths: list[Path], images: int) -> None:
        """Report sheets, if any have been written after `images` images."""
        if paths:
            self._ask("ganzoo_pictures", paths=paths, images=images)

    def run_end(self, outcome: str) -> None:
        """Report the end of a session: 'finished', 'interrupted', 'stopped' or 'failed'."""
        self._notify("ganzoo_run_end", outcome=outcome)

    def _ask(self, event: str, **arguments: Any) -> None:
        for plugin, answer in self._notify(event, **arguments):
            if not isinstance(answer, str):
                self.logger.info_once(
                    f"plugin {plugin}: {event} returned {answer!r}; return a string, the reason, to end training, or "
                    "None to continue"
                )
            elif answer.strip():
                self.logger.info_once(f"plugin {plugin} ends training: {printable(answer.strip())}")
                self._stop.request()

    def _notify(self, event: str, **arguments: Any) -> list[tuple[str, Any]]:
        answers, failures = self.registry.ask(event, run=self.folder, **arguments)
        for failure in failures:
            self.logger.info_once(failure)
        return answers
