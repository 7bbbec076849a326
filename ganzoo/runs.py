"""Run folders: numbered, with the resolved options, statistics, a log and a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.errors import RunError, near_match

_NUMBERED = re.compile(r"^(\d{5,})-")


@dataclass(frozen=True)
class Run:
    """One run folder. Writing to it needs `locked`."""

    path: Path

    @property
    def options_file(self) -> Path:
        return self.path / "options.json"

    @property
    def stats_file(self) -> Path:
        return self.path / "stats.jsonl"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def options(self) -> dict[str, Any]:
        """What options.json holds. RunError if it is missing or damaged."""
        try:
            options = json.loads(self.options_file.read_text())
            if not {"model", "train", "options"} <= options.keys():
                raise ValueError("keys are missing")
        except (OSError, ValueError, AttributeError) as error:
            raise RunError(f"{self.options_file}: can't be read ({error}).") from error
        return dict(options)

    def save_options(self, options: dict[str, Any]) -> None:
        """Write options.json, whole or not at all."""
        temporary = self.path / f".options.{os.getpid()}"
        temporary.write_text(json.dumps(options, indent=2) + "\n")
        temporary.replace(self.options_file)

    def stats(self) -> list[dict[str, Any]]:
        """The lines of stats.jsonl; a last line that was cut off is left out."""
        rows = []
        with contextlib.suppress(OSError):
            for line in self.stats_file.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    rows.append(json.loads(line))
        return rows

    def append_stats(self, row: dict[str, Any]) -> None:
        with open(self.stats_file, "a") as file:
            file.write(json.dumps(row) + "\n")

    def cut_stats(self, images: int) -> None:
        """Forget statistics from after `images` images: a resumed run writes them again."""
        rows = [row for row in self.stats() if row["images"] <= images]
        self.stats_file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def log(self, message: str) -> None:
        """Add a line with the time to log.txt."""
        with open(self.path / "log.txt", "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. RunError if another process holds it."""
        file = open(self.lock_file, "a+")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise RunError(f"{self.path}: in use by another process (number {owner}).") from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
        finally:
            file.close()

    def in_use(self) -> bool:
        """Whether a process holds the lock."""
        try:
            with open(self.lock_file) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def create(experiments: Path, name: str) -> Run:
    """A new folder NUMBER-NAME, numbered after the highest there is. RunError if it can't be made."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    try:
        experiments.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [int(match[1]) for run in experiments.iterdir() if (match := _NUMBERED.match(run.name))]
            path = experiments / f"{max(numbers, default=-1) + 1:05d}-{safe}"
            with contextlib.suppress(FileExistsError):  # another process took the number; look again
                path.mkdir()
                return Run(path)
    except OSError as error:
        raise RunError(f"{experiments}: no run folder can be made there ({error.strerror or error}).") from error


def every(experiments: Path) -> list[Run]:
    """The runs in a folder, oldest first."""
    if not experiments.is_dir():
        return []
    found = [run for run in experiments.iterdir() if _NUMBERED.match(run.name) and (run / "options.json").exists()]
    return [Run(path) for path in sorted(found, key=lambda path: int(path.name.split("-")[0]))]


def find(wanted: str, experiments: Path) -> Run:
    """A run by path, by name, by number, or 'latest'. RunError if there is none."""
    runs = every(experiments)
    if wanted == "latest":
        if not runs:
            raise RunError(f"there is no run in {experiments} yet. Start one with `ganzoo train MODEL`.")
        return runs[-1]
    for run in runs:
        if wanted == run.path.name or (wanted.isdigit() and int(wanted) == int(run.path.name.split("-")[0])):
            return run
    path = Path(wanted)
    if (path / "options.json").exists():
        return Run(path)
    if path.is_dir():
        raise RunError(f"{path}: not a run of ganzoo (it has no options.json).")
    hint = near_match(wanted, [run.path.name for run in runs])
    raise RunError(f"there is no run {wanted!r} in {experiments}.{hint}")
