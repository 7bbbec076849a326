"""Messages of a run."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

from ganzoo.errors import GanzooError, describe_failure
from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training.reporting.progress_bar import ProgressBar


class RunLogger:
    """Logs a run's messages to the screen, above the progress bar, and to log.txt."""

    def __init__(self, run: Run, bar: ProgressBar, stop: Stop) -> None:
        self.run, self._bar, self._stop = run, bar, stop
        self._reported: set[str] = set()

    def info(self, message: str) -> None:
        """Print a line above the progress bar and add it to log.txt. Training continues if the terminal is closed."""
        self._bar.write(message)
        self.run.log(message)

    def info_once(self, message: str) -> None:
        """Log a message as `info` does, but only the first time that it is given."""
        if message not in self._reported:
            self._reported.add(message)
            self.info(message)

    @contextlib.contextmanager
    def nonfatal(self, what: str, interruptible: bool = True) -> Iterator[None]:
        """Run the body; report each kind of failure once and continue training. If `interruptible`, a signal ends the
        body immediately."""
        try:
            with self._stop.raise_immediately() if interruptible else contextlib.nullcontext():
                yield
        except (KeyboardInterrupt, Exception) as error:
            # Jittor raises RuntimeError if a signal arrives while it waits for a compiler.
            if isinstance(error, (KeyboardInterrupt, RuntimeError)) and self._stop():
                return
            if isinstance(error, KeyboardInterrupt):
                raise
            known = isinstance(error, (GanzooError, OSError))
            reason = str(error).strip().partition("\n")[0] if known else describe_failure(error)
            if (kind := f"{what}: {type(error).__name__}") not in self._reported:
                self._reported.add(kind)
                if not known:
                    self.run.log(traceback.format_exc().rstrip())
                where = "" if known else " (the traceback is in log.txt)"
                self.info(f"warning: {what}: {reason.rstrip('.')}{where}. Training continues.")
