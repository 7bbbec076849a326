"""What a run's log says that its statistics don't."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ganzoo.data.loader import LEFT_OUT
from ganzoo.runs import RESTART_PREFIX, SESSION_PREFIX

_ERROR = "Error: "


@dataclass(frozen=True)
class LogFacts:
    """How many images were `left_out` because they can't be read, the `restarts` with another seed after training
    diverged, and the `error` that ended the last session (None: none)."""

    left_out: int = 0
    restarts: int = 0
    error: str | None = None


def parse_log(messages: Iterable[str]) -> LogFacts:
    """Read the messages of log.txt. Each session reports unreadable images again; they are counted once."""
    left_out: set[str] = set()
    restarts, error = 0, None
    for message in messages:
        if message.endswith(LEFT_OUT):
            left_out.add(message)
        elif message.startswith(RESTART_PREFIX):
            restarts += 1
        elif message.startswith(SESSION_PREFIX):
            error = None
        elif message.startswith(_ERROR):
            error = message.removeprefix(_ERROR)
    return LogFacts(len(left_out), restarts, error)
