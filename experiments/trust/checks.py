"""What must hold of a run after every session, whatever was done to it."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driving import (
    Session,
    Usage,
    Watch,
    checkpoints,
    folder_of,
    hidden,
    last_row,
    newest_whole,
    number,
    reported,
    unwanted,
    whole,
)

from ganzoo.data.images import is_image
from ganzoo.errors import RunError
from ganzoo.runs import Run

GROWTH = 0.05  # of resident memory that is allowed


@dataclass(frozen=True)
class Before:
    """A run before a session: its newest whole checkpoint, its statistics, and how many images it was told of and
    has now."""

    run: Path | None = None
    newest: Path | None = None
    steps: frozenset[int] = frozenset()
    counts: tuple[int, int] = (0, 0)


@dataclass
class Checks:
    """Looks at the one run in a folder, and collects what is violated."""

    experiments: Path
    violations: list[str] = field(default_factory=list)
    reported: int = 0
    resumed: int = 0
    floor: int = 0  # images of the last checkpoint that was reported, unless it was damaged on purpose

    @property
    def run(self) -> Path | None:
        return folder_of(self.experiments)

    def violated(self, session: int, what: str) -> None:
        line = f"session {session:04d}: {what}"
        if line not in self.violations:
            self.violations.append(line)
            print(f"VIOLATED: {line}", flush=True)

    def expect(self, session: int, good: bool, what: str) -> None:
        if not good:
            self.violated(session, what)

    def damaged(self, path: Path) -> None:
        """Note that a checkpoint is damaged on purpose: an older one is the newest now."""
        whole_one = newest_whole(path.parent)
        self.floor = min(self.floor, number(whole_one) if whole_one else 0)

    def before(self, images: Path) -> Before:
        """The state of the run, to compare with after a session."""
        run = self.run
        if run is None or not (run / "options.json").exists():
            return Before()
        try:
            told = Run(run).description().data.count
        except RunError:
            told = 0
        have = sum(1 for path in images.rglob("*") if is_image(path.name) and not path.is_dir())
        newest = newest_whole(run)
        upto = number(newest) if newest else 0
        return Before(run, newest, frozenset(n for n in _images(run)[0] if n <= upto), (told, have))

    def started(self, count: int, session: Session, watch: Watch) -> None:
        """After the first report of a session: what killed processes left is gone."""
        began = time.time() - session.seconds
        left = [name for name in hidden(watch.run) if _written(watch.run / name) < began]
        self.expect(count, not left, f"temporary files of dead processes are left: {', '.join(left[:3])}")

    def after(self, count: int, before: Before, session: Session, watch: Watch | None, extra: list[str]) -> None:
        """Everything that must hold when a session has ended."""
        left = session.left_over()
        self.expect(count, not left, f"{len(left)} processes outlive it")
        self.expect(count, not unwanted(session.output()), f"a traceback in {session.err.name}")
        run = self.run
        if run is None:
            return
        self.expect(count, not Run(run).in_use(), "the run is still locked")
        if session.process.returncode in (143, 130, 129):
            # Those of a session that was killed before are for the next one that trains to remove.
            own = [name for name in hidden(run) if name.startswith(f".unfinished-{session.pid}-")]
            self.expect(count, not own, f"temporary files are left: {', '.join(own[:3])}")
        lines = watch.lines() if watch else []
        if before.run is not None and watch and watch.ticks():
            self._resumed(count, before, lines)
            self._told(count, before, session, extra)
        self._kept(count, run, lines)
        self._statistics(count, run, before.steps, session.process.returncode)

    def _resumed(self, count: int, before: Before, lines: list[str]) -> None:
        started = [line.split()[-1] for line in lines if line.split()[-2:-1] == ["from"] and "checkpoint-" in line]
        if before.newest is None:
            self.expect(count, not started, f"it went on from {started}, which is not whole")
        else:
            good = started == [before.newest.name]
            self.resumed += good
            self.expect(count, good, f"it went on from {started} and not from {before.newest.name}")

    def _told(self, count: int, before: Before, session: Session, extra: list[str]) -> None:
        """Changes on resume are named."""
        output = session.output()
        if extra:
            told = f"changed: {extra[0]} " in output or f"is {extra[1]}" not in output
            self.expect(count, told, f"a change of {extra[0]} is not told")
        told_images, images = before.counts
        if told_images and told_images != images:
            self.expect(count, f"had {told_images:,} images, has {images:,}" in output, "a missing image is not told")

    def _kept(self, count: int, run: Path, lines: list[str]) -> None:
        """Nothing that was reported as saved is lost, and every checkpoint is whole or put aside."""
        saved = [number(line.split()[-1]) for line in lines if line.split()[-2:-1] == ["saved"]]
        self.reported += len(saved)
        self.floor = saved[-1] if saved else self.floor
        newest = newest_whole(run)
        at = number(newest) if newest else 0
        self.expect(count, at >= self.floor, f"checkpoint {self.floor} was reported as saved; the newest is {at}")
        bad = [path.name for path in checkpoints(run) if not whole(path)]
        self.expect(count, not (bad and saved), f"not whole: {', '.join(bad)}")
        known = reported(run)
        self.expect(count, not saved or known[-1] == saved[-1], "log.txt lost its last report")

    def _statistics(self, count: int, run: Path, former: frozenset[int], status: int) -> None:
        images, broken = _images(run)
        cut = 1 if status in (-9, 1) else 0  # a last line, after a kill or a full disk
        self.expect(count, broken <= cut, f"{broken} lines of stats.jsonl can't be read")
        self.expect(count, images == sorted(set(images)), "the images in stats.jsonl don't rise")
        lost = former - set(images)
        self.expect(count, not lost, f"stats.jsonl lost {len(lost)} rows from before the checkpoint it went on from")


def _images(run: Path) -> tuple[list[int], int]:
    """The images of every row of stats.jsonl, and how many lines can't be read."""
    images, broken = [], 0
    path = run / "stats.jsonl"
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            images.append(json.loads(line)["images"])
        except (ValueError, KeyError, TypeError):
            broken += 1
    return images, broken


def _written(path: Path) -> float:
    """When; a file that is gone counts as new."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def stage_of(run: Path) -> tuple[Any, bool]:
    """What training was at by its last report: other networks need other memory."""
    row = last_row(run)
    return row["size"], row["alpha"] < 1


@dataclass(frozen=True)
class Held:
    """What a process held after the warm-up and at the end; `comparable` if it trained the same networks."""

    seconds: float
    first: Usage
    last: Usage
    comparable: bool

    @property
    def growth(self) -> float:
        return self.last.memory / self.first.memory - 1

    def faults(self) -> list[str]:
        found = []
        if self.comparable and self.growth > GROWTH:
            found.append(f"resident memory grew by {self.growth:.1%}")
        if self.last.files > self.first.files:
            found.append(f"open files grew from {self.first.files} to {self.last.files}")
        if self.last.threads > self.first.threads:
            found.append(f"threads grew from {self.first.threads} to {self.last.threads}")
        return found

    def __str__(self) -> str:
        note = "" if self.comparable else " (it grew to another stage meanwhile, so this says nothing)"
        return (
            f"{self.seconds:.0f} s after the warm-up; memory {self.first.memory / 1e6:.1f} -> "
            f"{self.last.memory / 1e6:.1f} MB ({self.growth:+.1%}){note}, "
            f"open files {self.first.files} -> {self.last.files}, threads {self.first.threads} -> {self.last.threads}"
        )


def held(seen: list[Usage], warm: float, comparable: bool) -> Held:
    """What was held in the first and last tenth of what was seen after `warm`."""
    seen = [each for each in seen if each.time >= warm] or seen[-1:]
    tenth = max(1, len(seen) // 10)
    return Held(seen[-1].time - seen[0].time, _usual(seen[:tenth]), _usual(seen[-tenth:]), comparable)


def _usual(seen: list[Usage]) -> Usage:
    """The median memory, and the fewest files and threads: while a checkpoint is written there is one more of each."""
    when, memory = (statistics.median_low(column) for column in zip(*((each.time, each.memory) for each in seen)))
    return Usage(when, int(memory), min(each.files for each in seen), min(each.threads for each in seen))
