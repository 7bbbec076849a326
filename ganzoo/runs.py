"""Run folders: numbered, with the resolved options, statistics, a log and a lock."""

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

from ganzoo.checkpoints.description import fault
from ganzoo.errors import RunError, near_match, reason
from ganzoo.files import append_lines, atomic_write, open_regular

BEGINNING = "on "  # what log.txt says first of a session
LARGEST = 1e300  # number in statistics
LONGEST = 100  # characters of a run folder's name behind its number; file systems take 255 bytes
_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_NUMBERED = re.compile(r"([0-9]{5,})-[A-Za-z0-9._-]+")


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
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def options(self) -> dict[str, Any]:
        """What options.json holds. RunError if it is missing or damaged."""
        try:
            with open_regular(self.options_file) as file:
                options = json.load(file)
            wrong = fault(options) or (None if "train" in options else "train")
            if wrong is not None:
                raise ValueError(f"{wrong!r} is missing or damaged")
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.options_file}: can't be read ({reason(error)}).") from error
        return dict(options)

    def save_options(self, options: dict[str, Any]) -> None:
        """Write options.json, whole or not at all."""
        atomic_write(self.options_file, (json.dumps(options, indent=2) + "\n").encode())

    def stats(self) -> list[dict[str, Any]]:
        """The lines of stats.jsonl; one that is damaged, as a last one that was cut off, is left out."""
        rows = []
        with contextlib.suppress(OSError):
            for line in self.stats_file.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    rows.append(json.loads(line))
        return [row for row in rows if _is_row(row)]

    def values(self, name: str) -> dict[int, float]:
        """A number of the statistics, such as 'losses/generator/adversarial', by the images seen."""
        rows = ((row["images"], numbers(row)) for row in self.stats())
        return {images: known[name] for images, known in rows if name in known}

    def append_stats(self, row: dict[str, Any]) -> None:
        append_lines(self.stats_file, json.dumps(row) + "\n")

    def replace_last_stats(self, row: dict[str, Any]) -> None:
        """Write the last line of the statistics anew, if it is of the same tick; else add one."""
        self._write_stats([*(each for each in self.stats() if each["images"] < row["images"]), row])

    def cut_stats(self, images: int) -> None:
        """Forget statistics from after `images` images: a resumed run writes them again."""
        self._write_stats(row for row in self.stats() if row["images"] <= images)

    def _write_stats(self, rows: Iterable[dict[str, Any]]) -> None:
        atomic_write(self.stats_file, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def log(self, message: str) -> None:
        """Add a line with the time to log.txt, if it can be written: training doesn't end for want of it."""
        with contextlib.suppress(OSError):
            append_lines(self.log_file, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def tell(self, message: str) -> None:
        """Print a line and keep it in log.txt. A terminal that has gone stops nothing."""
        with contextlib.suppress(OSError):
            print(message, flush=True)
        self.log(message)

    def remove(self) -> None:
        """Delete the folder of a run that came to nothing."""
        shutil.rmtree(self.path, ignore_errors=True)

    def outcome(self) -> str | None:
        """How the last session ended, by log.txt: 'finished', 'interrupted', 'failed', 'crashed' in compiled code, or
        'killed' if it did not get to say so. None if there was none, or it can't be known."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return None
        for line in reversed(lines):
            message = _TIME.sub("", line)
            if line.startswith("Fatal Python error: "):  # so Python begins what `_crashes_told` has it write
                return "crashed"
            if message in ("finished", "interrupted", "failed"):
                return message
            if message != line and message.startswith(BEGINNING):  # with this a session begins
                return "killed"
        return None

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
            with self._crashes_told():
                yield
        finally:
            file.close()

    @contextlib.contextmanager
    def _crashes_told(self) -> Iterator[None]:
        """If the process dies of a fault in compiled code, log.txt says where it was, unless somebody else is told."""
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
        """Whether a process holds the lock."""
        try:
            with open(self.lock_file) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """What was measured in a tick, by 'group/name'."""
    groups = {group: row.get(group, {}) for group in ("losses", "watched", "metrics")}
    return {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}


def _is_row(row: Any) -> bool:
    """Whether this is a report of a tick, as far as others build on it."""
    if not isinstance(row, dict) or not isinstance(row.get("losses"), dict):
        return False
    groups = [row["losses"], row.get("watched", {}), row.get("metrics", {})]
    if not all(isinstance(group, dict) for group in groups):
        return False
    numbers = [row.get(name) for name in ("images", "kimg", "images_per_second")]
    return all(map(is_number, [*numbers, *(value for group in groups for value in group.values())]))


def is_number(value: Any) -> bool:
    """Whether a value from a file is a number that can be reckoned with."""
    return isinstance(value, (int, float)) and abs(value) < LARGEST


def create(experiments: Path, name: str) -> Run:
    """A new folder NUMBER-NAME, numbered after the highest there is. RunError if it can't be made."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:LONGEST]
    try:
        experiments.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [_number(path) for path in experiments.iterdir() if _NUMBERED.match(path.name)]
            path = experiments / f"{max(numbers, default=-1) + 1:05d}-{safe}"
            with contextlib.suppress(FileExistsError):  # another process took the number; look again
                path.mkdir()
                return Run(path)
    except OSError as error:
        raise RunError(f"{experiments}: no run folder can be made there ({reason(error)}).") from error


def every(experiments: Path) -> list[Run]:
    """The runs in a folder, oldest first: what has the name of a run and options. Of two with one number the one with
    the longer name counts as older: it is somebody's copy."""
    if not experiments.is_dir():
        return []
    found = [path for path in experiments.iterdir() if _NUMBERED.fullmatch(path.name) and _has_options(path)]
    return [Run(path) for path in sorted(found, key=lambda path: (_number(path), -len(path.name), path.name))]


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _has_options(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # somebody else's folder, a name too long
        return (folder / "options.json").exists()
    return False


def find(wanted: str, experiments: Path) -> Run:
    """A run by path, by name, by number, or 'latest'. RunError if there is none."""
    runs = every(experiments)
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
    hint = near_match(wanted, [run.path.name for run in runs])
    raise RunError(f"there is no run {wanted!r} in {experiments}.{hint}")
