"""Run folders: each has a number, the resolved options, statistics, a log and a lock."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import RunError, did_you_mean, reason
from ganzoo.files import append_lines, atomic_write, open_regular

# Starts of messages in log.txt: of a session's first one, and of those that say that training starts again with another
# seed.
SESSION_PREFIX, RESTART_PREFIX = "on ", "training diverged "
MAX_VALUE = 1e300  # limit on absolute values in statistics
MAX_NAME_LENGTH = 100  # maximum length of a run folder's name after its number; file systems allow 255 bytes
_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_NUMBERED = re.compile(r"([0-9]{5,})-[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Run:
    """One run folder. Writing to it requires `locked`."""

    path: Path

    @property
    def options_file(self) -> Path:
        return self.path / "options.json"

    @property
    def stats_file(self) -> Path:
        return self.path / "stats.jsonl"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def description(self) -> RunDescription:
        """Return the content of options.json. RunError if it is missing or damaged."""
        try:
            with open_regular(self.options_file) as file:
                return RunDescription.from_json(json.load(file), required=("train",))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.options_file}: can't be read ({reason(error)}).") from error

    def save_description(self, description: RunDescription) -> None:
        """Write options.json atomically."""
        atomic_write(self.options_file, (json.dumps(description.to_json(), indent=2) + "\n").encode())

    def stats(self) -> list[dict[str, Any]]:
        """Return the lines of stats.jsonl, without damaged ones, such as a last line that was cut off."""
        rows = []
        with contextlib.suppress(OSError):
            for line in self.stats_file.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    rows.append(json.loads(line))
        return [row for row in rows if _is_row(row)]

    def values(self, name: str) -> dict[int, float]:
        """Return the values of one statistic, such as 'losses/generator/adversarial', by images seen."""
        rows = ((row["images"], measured_values(row)) for row in self.stats())
        return {images: known[name] for images, known in rows if name in known}

    def append_stats(self, row: dict[str, Any]) -> None:
        append_lines(self.stats_file, json.dumps(row) + "\n")

    def replace_last_stats(self, row: dict[str, Any]) -> None:
        """Replace the last line of the statistics if it is of the same tick; otherwise append a line."""
        self._write_stats([*(each for each in self.stats() if each["images"] < row["images"]), row])

    def truncate_stats(self, images: int) -> None:
        """Remove the statistics after `images` images, which a resumed run writes again."""
        self._write_stats(row for row in self.stats() if row["images"] <= images)

    def _write_stats(self, rows: Iterable[dict[str, Any]]) -> None:
        atomic_write(self.stats_file, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def log(self, message: str) -> None:
        """Append a line with the time to log.txt. Errors are ignored: a log that can't be written must not end
        training."""
        with contextlib.suppress(OSError):
            append_lines(self.log_file, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def print_and_log(self, message: str) -> None:
        """Print a line and append it to log.txt. A closed terminal is ignored."""
        with contextlib.suppress(OSError):
            print(message, flush=True)
        self.log(message)

    def log_messages(self) -> list[str]:
        """Return the messages in log.txt without their times, and without tracebacks. It is empty if the log can't be
        read."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return []
        return [_TIME.sub("", line) for line in lines if _TIME.match(line)]

    def remove(self) -> None:
        """Delete the folder of a run that produced nothing."""
        shutil.rmtree(self.path, ignore_errors=True)

    def outcome(self) -> str | None:
        """Return how the last session ended, according to log.txt: 'finished', 'interrupted', 'stopped' (by a plugin),
        'failed', 'crashed' (in compiled code), or 'killed' if no ending was logged. None if there was no session or the
        log can't be read."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return None
        for line in reversed(lines):
            message = _TIME.sub("", line)
            if line.startswith("Fatal Python error: "):  # start of the report that `_log_crashes` enables
                return "crashed"
            if message in ("finished", "interrupted", "stopped", "failed"):
                return message
            if message != line and message.startswith(SESSION_PREFIX):  # start of a session
                return "killed"
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's lock within the body. RunError if another process holds it."""
        file = open(self.lock_file, "a+")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise RunError(f"{self.path}: in use by another process (PID {owner}).") from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            with self._log_crashes():
                yield
        finally:
            file.close()

    @contextlib.contextmanager
    def _log_crashes(self) -> Iterator[None]:
        """Write a traceback to log.txt if compiled code crashes, unless faulthandler is already enabled."""
        if faulthandler.is_enabled():
            yield
            return
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                faulthandler.enable(stack.enter_context(open(self.log_file, "a")))
            try:
                yield
            finally:
                faulthandler.disable()

    def in_use(self) -> bool:
        """Return whether a process holds the lock."""
        try:
            with open(self.lock_file) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def measured_values(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the values measured in a tick, by 'group/name'."""
    groups = {group: row.get(group, {}) for group in ("losses", "watched", "metrics")}
    return {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}


def _is_row(row: Any) -> bool:
    """Return whether this is the report of a tick, with all values that other code relies on."""
    if not isinstance(row, dict) or not isinstance(row.get("losses"), dict):
        return False
    groups = [row["losses"], row.get("watched", {}), row.get("metrics", {})]
    if not all(isinstance(group, dict) for group in groups):
        return False
    numbers = [row.get(name) for name in ("images", "kimg", "images_per_second")]
    return all(map(is_number, [*numbers, *(value for group in groups for value in group.values())]))


def is_number(value: Any) -> bool:
    """Return whether a value from a file is a number that is safe to compute with."""
    return isinstance(value, (int, float)) and abs(value) < MAX_VALUE


def create(experiments: Path, name: str) -> Run:
    """Create a folder NUMBER-NAME, numbered after the highest existing one. RunError if it can't be created."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:MAX_NAME_LENGTH]
    try:
        experiments.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [_number(path) for path in experiments.iterdir() if _NUMBERED.match(path.name)]
            path = experiments / f"{max(numbers, default=-1) + 1:05d}-{safe}"
            with contextlib.suppress(FileExistsError):  # another process took the number; look again
                path.mkdir()
                return Run(path)
    except OSError as error:
        raise RunError(f"{experiments}: can't create a run folder there ({reason(error)}).") from error


def list_runs(experiments: Path) -> list[Run]:
    """Return the runs in a folder, oldest first: the subfolders that are named like a run and have options. Of two runs
    with the same number, the one with the longer name counts as older, because that one is probably a copy."""
    if not experiments.is_dir():
        return []
    found = [path for path in experiments.iterdir() if _NUMBERED.fullmatch(path.name) and _has_options(path)]
    return [Run(path) for path in sorted(found, key=lambda path: (_number(path), -len(path.name), path.name))]


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _has_options(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # no permission, or the name is too long
        return (folder / "options.json").exists()
    return False


def find(wanted: str, experiments: Path) -> Run:
    """Find a run by path, name, number, or 'latest'. RunError if there is none."""
    runs = list_runs(experiments)
    if wanted == "latest":
        if not runs:
            raise RunError(f"there is no run in {experiments} yet. Start one with `ganzoo train MODEL`.")
        return runs[-1]
    for run in runs:
        if wanted == run.path.name:
            return run
    numbered = [run for run in runs if re.fullmatch("[0-9]{1,20}", wanted) and int(wanted) == _number(run.path)]
    if len(numbered) > 1:
        raise RunError(f"{wanted}: several runs have this number, {', '.join(run.path.name for run in numbered)}.")
    if numbered:
        return numbered[0]
    path = Path(wanted)
    if _has_options(path):
        return Run(path)
    if path.is_dir():
        raise RunError(f"{path}: not a run of ganzoo (it has no options.json).")
    hint = did_you_mean(wanted, [run.path.name for run in runs])
    raise RunError(f"there is no run {wanted!r} in {experiments}.{hint}")
