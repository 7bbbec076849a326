"""Other processes: what they do, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

MAX_SECONDS = 120  # to wait for a process


def has_ended(pid: int) -> bool:
    return state(pid) in ("Z", "")


def state(pid: int) -> str:
    """Return the letter of a process's state, as `ps` shows it; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def with_argument(word: str) -> list[int]:
    """Return the processes that have this word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
