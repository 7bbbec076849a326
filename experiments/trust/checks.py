"""Checks that must hold for a run after every session, whatever was done to it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import (
    RunWatcher,
    Session,
    Usage,
    checkpoint_images,
    checkpoints,
    find_run,
    forbidden_output,
    last_stats,
    newest_intact,
    read_intact,
    reported_saves,
    temporary_files,
)

from ganzoo.data.images import is_image
from ganzoo.errors import RunError
from ganzoo.runs import Run

MAX_MEMORY_GROWTH = 0.05  # relative growth of resident memory


@dataclass(frozen=True)
class RunState:
    """A run before a session. `newest` is its newest intact checkpoint. `rows` holds the number of images seen in each
    row of stats.jsonl up to that checkpoint. `recorded_images` is the size of the data set according to options.json;
    `images_found` is the number of images now in the data set's folder. `options` are those of options.json."""

    run: Path | None = None
    newest: Path | None = None
    rows: frozenset[int] = frozenset()
    recorded_images: int = 0
    images_found: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Checks:
    """Checks the only run in a folder, and collects violations."""

    experiments: Path
    violations: list[str] = field(default_factory=list)
    reported_saves: int = 0  # checkpoints that sessions reported as saved
    resumed_sessions: int = 0  # sessions that resumed from the newest intact checkpoint
    min_images: int = 0  # the newest checkpoint must have seen as many: those of the last save not damaged on purpose

    @property
    def run(self) -> Path | None:
        return find_run(self.experiments)

    def record_violation(self, number: int, what: str) -> None:
        line = f"session {number:04d}: {what}"
        if line not in self.violations:
            self.violations.append(line)
            print(f"VIOLATED: {line}", flush=True)

    def expect(self, number: int, ok: bool, what: str) -> None:
        if not ok:
            self.record_violation(number, what)

    def note_damage(self, path: Path) -> None:
        """Note that a checkpoint was damaged on purpose, so that an older one is now the newest."""
        newest = newest_intact(path.parent)
        self.min_images = min(self.min_images, checkpoint_images(newest) if newest else 0)

    def state_before(self, image_folder: Path) -> RunState:
        """Return the state of the run before a session."""
        run = self.run
        if run is None or not (run / "options.json").exists():
            return RunState()
        try:
            description = Run(run).description()
            recorded, options = description.data.count, {**description.options, **(description.train or {})}
        except RunError:
            recorded, options = 0, {}
        found = sum(1 for path in image_folder.rglob("*") if is_image(path.name) and not path.is_dir())
        newest = newest_intact(run)
        last = checkpoint_images(newest) if newest else 0
        return RunState(run, newest, frozenset(n for n in _images(run)[0] if n <= last), recorded, found, options)

    def check_start(self, number: int, session: Session, watch: RunWatcher) -> None:
        """Check, after the first report of a session, that the temporary files of killed processes are gone."""
        started_at = time.time() - session.seconds
        left = [name for name in temporary_files(watch.run) if _written(watch.run / name) < started_at]
        self.expect(number, not left, f"temporary files of killed processes are left: {', '.join(left[:3])}")

    def check_end(
        self,
        number: int,
        before: RunState,
        session: Session,
        watch: RunWatcher | None,
        changed_option: list[str],
    ) -> None:
        """Check everything that must hold after a session. `changed_option` holds the option that got a new value
        when the session resumed the run, and that value. It is empty if no option was changed."""
        left = session.kill_leftovers()
        self.expect(number, not left, f"{len(left)} processes outlive the session")
        self.expect(number, not forbidden_output(session.output()), f"a traceback in {session.err.name}")
        run = self.run
        if run is None:
            return
        self.expect(number, not Run(run).in_use(), "the run is still locked")
        if session.process.returncode in (143, 130, 129):
            # A session ended by SIGTERM, SIGINT or SIGHUP removes its own temporary files. Those of a killed session
            # stay until another session trains the run.
            own = [name for name in temporary_files(run) if name.startswith(f".unfinished-{session.pid}-")]
            self.expect(number, not own, f"temporary files are left: {', '.join(own[:3])}")
        lines = watch.lines() if watch else []
        if before.run is not None and watch and watch.progress_reports():
            self._resumed(number, before, lines)
            self._changes_reported(number, before, session, changed_option)
        self._saves_kept(number, run, lines)
        self._statistics(number, run, before.rows, session.process.returncode)

    def _resumed(self, number: int, before: RunState, lines: list[str]) -> None:
        started = [line.split()[-1] for line in lines if line.split()[-2:-1] == ["from"] and "checkpoint-" in line]
        if before.newest is None:
            self.expect(number, not started, f"it resumed from {started}, which is damaged")
        else:
            ok = started == [before.newest.name]
            self.resumed_sessions += ok
            self.expect(number, ok, f"it resumed from {started} instead of {before.newest.name}")

    def _changes_reported(self, number: int, before: RunState, session: Session, changed_option: list[str]) -> None:
        """Check that changes on resume are reported."""
        output = session.output()
        if changed_option:
            flag, value = changed_option
            former = before.options.get(flag.removeprefix("--").replace("-", "_"))
            if former is not None and float(former) != float(value):
                self.expect(number, f"changed: {flag} was" in output, f"a change of {flag} is not reported")
        recorded, found = before.recorded_images, before.images_found
        if recorded and recorded != found:
            reported = f"had {recorded:,} images, has {found:,}" in output
            self.expect(number, reported, "a missing image is not reported")

    def _saves_kept(self, number: int, run: Path, lines: list[str]) -> None:
        """Check that nothing reported as saved is lost, and that every checkpoint is intact or renamed as damaged."""
        saved = [checkpoint_images(line.split()[-1]) for line in lines if line.split()[-2:-1] == ["saved"]]
        self.reported_saves += len(saved)
        self.min_images = saved[-1] if saved else self.min_images
        newest = newest_intact(run)
        images, wanted = checkpoint_images(newest) if newest else 0, self.min_images
        self.expect(number, images >= wanted, f"checkpoint {wanted} was reported as saved; the newest is {images}")
        bad = [path.name for path in checkpoints(run) if not read_intact(path)]
        self.expect(number, not (bad and saved), f"damaged: {', '.join(bad)}")
        known = reported_saves(run)
        self.expect(number, not saved or known[-1] == saved[-1], "log.txt lost its last report")

    def _statistics(self, number: int, run: Path, previous: frozenset[int], status: int) -> None:
        images, broken = _images(run)
        allowed = 1 if status in (-9, 1) else 0  # the last line may be cut after a kill or on a full disk
        self.expect(number, broken <= allowed, f"{broken} lines of stats.jsonl can't be read")
        self.expect(number, images == sorted(set(images)), "the images in stats.jsonl don't increase")
        lost = previous - set(images)
        self.expect(number, not lost, f"stats.jsonl lost {len(lost)} rows from before the resumed checkpoint")


def _images(run: Path) -> tuple[list[int], int]:
    """Return the number of images seen in each row of stats.jsonl, and the number of unreadable lines."""
    images, broken = [], 0
    path = run / "stats.jsonl"
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            images.append(json.loads(line)["images"])
        except (ValueError, KeyError, TypeError):
            broken += 1
    return images, broken


def _written(path: Path) -> float:
    """Return the modification time; a missing file counts as new."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def stage_of(run: Path) -> tuple[Any, bool]:
    """Return the size at the last report, and whether it was fading in: both determine the memory needed."""
    row = last_stats(run)
    return row["size"], row["alpha"] < 1


@dataclass(frozen=True)
class ResourceGrowth:
    """Usage of a process after the warm-up and at the end; `comparable` if it trained the same networks both times."""

    seconds: float
    first: Usage
    last: Usage
    comparable: bool

    @property
    def growth(self) -> float:
        return self.last.memory / self.first.memory - 1

    def faults(self) -> list[str]:
        found = []
        if self.comparable and self.growth > MAX_MEMORY_GROWTH:
            found.append(f"resident memory grew by {self.growth:.1%}")
        if self.last.files > self.first.files:
            found.append(f"open files grew from {self.first.files} to {self.last.files}")
        if self.last.threads > self.first.threads:
            found.append(f"threads grew from {self.first.threads} to {self.last.threads}")
        return found

    def __str__(self) -> str:
        note = "" if self.comparable else " (not comparable: the stage changed meanwhile)"
        return (
            f"{self.seconds:.0f} s after the warm-up; memory {self.first.memory / 1e6:.1f} -> "
            f"{self.last.memory / 1e6:.1f} MB ({self.growth:+.1%}){note}, "
            f"open files {self.first.files} -> {self.last.files}, threads {self.first.threads} -> {self.last.threads}"
        )


def resource_growth(seen: list[Usage], warm_at: float, comparable: bool) -> ResourceGrowth:
    """Compare the usage in the first and the last tenth of the time after `warm_at`."""
    seen = [each for each in seen if each.time >= warm_at] or seen[-1:]
    tenth = max(1, len(seen) // 10)
    return ResourceGrowth(seen[-1].time - seen[0].time, _typical(seen[:tenth]), _typical(seen[-tenth:]), comparable)


def _typical(seen: list[Usage]) -> Usage:
    """Return the median memory, and the lowest numbers of files and threads, because writing a checkpoint adds one of
    each."""
    when, memory = (statistics.median_low(column) for column in zip(*((each.time, each.memory) for each in seen)))
    return Usage(when, int(memory), min(each.files for each in seen), min(each.threads for each in seen))
