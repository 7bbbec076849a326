"""Does a run survive an hour of signals, full disks and damaged files?

    python experiments/trust/soak.py stylegan --minutes 60 --out soak-stylegan

Trains one model at tiny size on a folder of copied images, in sessions of random length. Sessions end by SIGKILL,
SIGTERM, SIGINT and SIGHUP, by two signals, by signals at start-up, and by a full disk (a limit on the size of files,
and a small tmpfs if one can be mounted). During sessions, the process is paused, a second process tries to resume the
run, and two processes generate from it. Between sessions, checkpoints and images are damaged and options are changed.
After each session the script checks that no saved work was lost, that the next session resumed from the newest intact
checkpoint, that statistics are complete, that errors are one line, and that no temporary file, process or lock is left.

The last quarter of the time is one undisturbed session. Its warm-up lasts until the curves have been drawn three times
and a minute has passed, but at most half of the session. Of the time after that, the last tenth is compared with the
first: median memory may grow by 5 %, the minimum of open files and threads not at all.
The exit status is 1 if any check failed; the output of every session is in --out.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
from checks import Checks, ResourceGrowth, resource_growth, stage_of
from faults import CHECKPOINT_FAULTS, IMAGE_FAULTS, ImageFolder
from processes import (
    DATA,
    EXIT_STATUS,
    HANG_SECONDS,
    TINY,
    Hung,
    RunWatcher,
    Session,
    Usage,
    checkpoint_images,
    checkpoints,
    find_run,
    last_stats,
    newest_intact,
    read_intact,
    usage,
)

# Number of images, their size in px (0: unchanged), and options. A tick takes a second or two. Checkpoints are larger
# than compiled kernels, so a limit on file sizes between the two stops saving, as a full disk would, but not compiling.
SETUPS = {
    "gan": (96, 0, ["--tick", "1"]),
    "lsgan": (96, 0, ["--tick", "0.4"]),
    "stylegan": (96, 32, ["--tick", "0.2", "--max-size", "32", "--phase", "2", "--channels-base", "2048"]),
    "stargan2": (96, 64, ["--tick", "0.032", "--channels-base", "2048", "--hidden", "128"]),
}
SETUPS["stylegan"][2].extend(["--channels-max", "64"])
SETUPS["stargan2"][2].extend(["--channels-max", "32"])
COMMON = ["--kimg", "1000000", "--snapshot", "1", "--keep", "3", "--device", "cpu"]
ENDINGS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT and SIGKILL": (signal.SIGINT, signal.SIGKILL),
}
STARTUP_ENDINGS = {f"{name} at start-up": ENDINGS[name] for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")}
DISTURBANCES = ("nothing", "a pause", "a second --resume", "two generate", "nothing")
OPTION_CHANGES = [["--workers", "1"], ["--workers", "3"], ["--keep", "2"], ["--keep", "4"]]
OPTION_CHANGES += [["--learning-rate", "0.0001"], ["--learning-rate", "0.00005"]]


class ShuffledCycle:
    """Yields items in random order, all of them before any is repeated."""

    def __init__(self, items: list[str], rng: random.Random) -> None:
        self.items, self.rng, self.left = items, rng, list[str]()

    def draw(self) -> str:
        if not self.left:
            self.left = self.rng.sample(self.items, len(self.items))
        return self.left.pop()


class Soak:
    """A run and the faults that are done to it."""

    def __init__(self, model: str, minutes: float, seed: int, threads: int, root: Path) -> None:
        self.model, self.seconds, self.threads, self.root = model, minutes * 60, threads, root
        self.rng = rng = random.Random(f"{model} {seed}")
        count, size, self.options = SETUPS[model]
        self.images = ImageFolder(DATA[model], count, size, root / "images")
        self.output = root / "sessions"
        self.output.mkdir()
        self.counts: Counter[str] = Counter()  # of each ending, fault and disturbance
        self.checks = Checks(root / "experiments")
        self.endings = ShuffledCycle(["SIGKILL", *ENDINGS, *STARTUP_ENDINGS, "a full disk"], rng)
        self.disturbances = ShuffledCycle(list(DISTURBANCES), rng)
        between = [f"checkpoint: {kind}" for kind in CHECKPOINT_FAULTS] + [f"image: {kind}" for kind in IMAGE_FAULTS]
        self.actions = ShuffledCycle(
            [*between, *["images restored", "options changed", "option refused", "tmpfs"] * 2], rng
        )
        self.option_changes = ShuffledCycle([" ".join(change) for change in OPTION_CHANGES], rng)
        self.started_at = time.monotonic()
        self.start_up = 5.0  # seconds until the first report of the previous session
        self.number = 0  # of the current session
        self.growth: ResourceGrowth | None = None

    @property
    def run(self) -> Path | None:
        return self.checks.run

    def run_all(self) -> None:
        """Run sessions with faults for three quarters of the time, then one without."""
        longest = min(max(self.seconds / 60, 5), 45)
        while time.monotonic() - self.started_at < 0.75 * self.seconds:
            changed_option = self._act_between_sessions() if self.run and checkpoints(self.run) else []
            self._guarded(lambda: self._session(self.endings.draw(), self.rng.uniform(1, longest), changed_option))  # noqa: B023
        self.images.restore()
        self._guarded(self._run_undisturbed)

    def _guarded(self, session) -> None:  # type: ignore[no-untyped-def]
        try:
            session()
        except Hung as error:
            self.checks.record_violation(self.number, str(error))
        if self.run:
            _drop_samples(self.run)

    def _start(self, arguments: list[str], kind: str = "", limit: int | None = None) -> Session:
        output = self.output / f"{self.number:04d}{kind}"
        return Session(arguments, self.root, output, self.threads, limit)

    def _train(self) -> list[str]:
        if self.run and (self.run / "options.json").exists():
            return ["train", self.model, "--resume", "latest"]
        if self.run:
            shutil.rmtree(self.run)  # a run that was killed before it could be resumed
        return ["train", self.model, *TINY[self.model], *self.options, *COMMON, "--data", "images"]

    def _session(self, ending: str, seconds: float, changed_option: list[str]) -> None:
        self.number += 1
        limit = None
        if ending == "a full disk":
            newest = newest_intact(self.run) if self.run else None
            if newest is None:  # the limit would hit Jittor's files
                ending = "SIGKILL"
            else:
                limit = newest.stat().st_size // 2
        before = self.checks.state_before(self.images.folder)
        session = self._start([*self._train(), *changed_option], limit=limit)
        watch = RunWatcher(before.run) if before.run else None
        while watch is None and not session.ended():
            time.sleep(0.01)
            watch = RunWatcher(self.run) if self.run else None
        try:
            self._disturb(session, watch, ending, seconds)
        finally:
            if not session.ended():
                session.abort()
        self.counts[ending] += 1
        self.checks.check_end(self.number, before, session, watch, changed_option)
        click.echo(
            f"{self._clock()} session {self.number}: {ending} after {session.seconds:.0f} s, status "
            f"{session.process.returncode}, at {last_stats(self.run)['images'] if self.run else 0:,} images"
        )

    def _disturb(self, session: Session, watch: RunWatcher | None, ending: str, seconds: float) -> None:
        if ending in STARTUP_ENDINGS:
            time.sleep(self.rng.uniform(0, self.start_up))
            self._stop(session, STARTUP_ENDINGS[ending], ending)
            return
        if watch and session.wait_until(lambda: watch.progress_reports() > 0, 0.05):
            self.start_up = session.seconds
            self.checks.check_start(self.number, session, watch)
        if ending == "a full disk":
            status = session.wait()
            self.checks.expect(self.number, status == 1, f"status {status} instead of 1 on a full disk")
            self.checks.expect(
                self.number, len(session.errors()) == 1, f"a full disk is reported as {session.errors()}"
            )
            return
        time.sleep(seconds / 2)
        if watch and not session.ended():
            self._disturb_training(session, watch, self.disturbances.draw())
        time.sleep(seconds / 2)
        self._stop(session, ENDINGS[ending], ending)

    def _stop(self, session: Session, signals: tuple[int, ...], ending: str) -> None:
        """Send signals, and check how the process ends."""
        if session.ended():
            self.checks.record_violation(self.number, f"it ended by itself, with status {session.process.returncode}")
            return
        session.send(signals[0])
        sent = time.monotonic()
        for other in signals[1:]:
            time.sleep(self.rng.uniform(0, 0.3))
            session.send(other)
        status, seconds = session.wait(60), time.monotonic() - sent
        expected = {EXIT_STATUS[signal.Signals(signals[0])]} | {-each for each in signals[1:]}
        if ending in STARTUP_ENDINGS:
            expected |= {-signals[0]}
        self.checks.expect(self.number, status in expected, f"status {status} after {ending}, expected {expected}")
        self.checks.expect(
            self.number, seconds < (5 if len(signals) > 1 else 30), f"it took {seconds:.0f} s after {ending}"
        )
        errors = len(session.errors())
        self.checks.expect(
            self.number, errors <= (ending in STARTUP_ENDINGS), f"{ending} is reported as {session.errors()}"
        )

    def _disturb_training(self, session: Session, watch: RunWatcher, what: str) -> None:
        if what != "nothing":
            self.counts[what] += 1
        if what == "a pause":
            session.send(signal.SIGSTOP)
            time.sleep(self.rng.uniform(1, 5))
            session.send(signal.SIGCONT)
        elif what == "a second --resume":
            second = self._start(["train", self.model, "--resume", "latest"], "-second")
            status, errors = second.wait(), second.errors()
            refused = status == 1 and len(errors) == 1 and "in use" in errors[0]
            self.checks.expect(self.number, refused, f"a second --resume: status {status}, {errors}")
        elif what == "two generate":
            source = ["--source", str(self.images.pristine / self.images.paths[0])] if self.model == "stargan2" else []
            wanted = ["generate", "latest", "--seeds", "0-3", *source, "--device", "cpu", "--out"]
            both = [self._start([*wanted, f"made-{name}"], f"-generate-{name}") for name in "ab"]
            for each, name in zip(both, "ab"):
                status, made = each.wait(), list((self.root / f"made-{name}").glob("*.png"))
                good = status == 0 and not each.errors() and bool(made)
                self.checks.expect(self.number, good, f"generate during training: status {status}, {each.errors()}")
                shutil.rmtree(self.root / f"made-{name}", ignore_errors=True)
        ticks = watch.progress_reports()
        if not session.wait_until(lambda: watch.progress_reports() > ticks, 0.05):
            self.checks.record_violation(self.number, f"{what}: it ended, with status {session.process.returncode}")

    def _act_between_sessions(self) -> list[str]:
        """Do something to the run between sessions. Return an option with a new value for the next
        session, or nothing."""
        assert self.run is not None
        what = self.actions.draw()
        kind = what.split(": ")[-1]
        if what.startswith("checkpoint: "):
            there = checkpoints(self.run)
            if len(there) < 2:
                return []
            CHECKPOINT_FAULTS[kind](there[-1], self.rng)
            self.checks.note_damage(there[-1])
        elif what.startswith("image: "):
            if len(self.images.damaged_images) >= len(self.images.paths) // 4:
                self.images.restore()
            self.images.damage(kind, self.rng)
        elif what == "images restored":
            self.images.restore()
        elif what == "tmpfs" and not self._tmpfs(self.run):
            what = "no tmpfs"
        elif what == "option refused":
            self._refused(["--latent", "7"])
        self.counts[what] += 1
        return self.option_changes.draw().split() if what == "options changed" else []

    def _refused(self, options: list[str]) -> None:
        """Check that options which don't fit the run's networks give a one-line error and change nothing."""
        assert self.run is not None
        before = [path for path in checkpoints(self.run) if read_intact(path)]  # a damaged one may be put aside
        session = self._start(["train", self.model, "--resume", "latest", *options], "-refused")
        status, errors = session.wait(), session.errors()
        self.checks.expect(self.number, status in (1, 2), f"{' '.join(options)} on resume: status {status}")
        self.checks.expect(self.number, len(errors) == 1, f"{' '.join(options)} on resume: {errors}")
        untouched = [path for path in checkpoints(self.run) if read_intact(path)] == before
        self.checks.expect(self.number, untouched, f"{' '.join(options)} on resume changed the checkpoints")

    def _tmpfs(self, run: Path) -> bool:
        """Resume a copy of the run in a file system without room for another checkpoint. Return False if no tmpfs
        can be mounted, or if there is no intact checkpoint."""
        newest = newest_intact(run)
        place = self.root / "tmpfs"
        place.mkdir(exist_ok=True)
        if newest is None:
            return False
        kept = [newest, *(run / name for name in ("options.json", "stats.jsonl", "log.txt"))]
        room = sum(path.stat().st_size for path in kept) + newest.stat().st_size // 2 + 100_000
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={room}", "soak", str(place)]
        if subprocess.run(mounting, capture_output=True, check=False).returncode:
            return False
        try:
            (place / run.name).mkdir()
            for path in kept:
                shutil.copy2(path, place / run.name)
            session = self._start(["train", self.model, "--resume", f"tmpfs/{run.name}"], "-tmpfs")
            status, errors = session.wait(), session.errors()
            self.checks.expect(self.number, status == 1 and len(errors) == 1, f"no space: status {status}, {errors}")
            left = newest_intact(place / run.name)
            same = left is not None and checkpoint_images(left) >= checkpoint_images(newest)
            self.checks.expect(self.number, same, "no space: the newest checkpoint is lost")
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False)
        return True

    def _run_undisturbed(self) -> None:
        """Run the last session, and measure its memory, files and threads."""
        self.number += 1
        before = self.checks.state_before(self.images.folder)
        session = self._start(self._train())
        watch = RunWatcher(before.run or self.root)
        session.wait_until(lambda: watch.progress_reports() > 0, 0.05)
        self.checks.check_start(self.number, session, watch)
        run = self.run or self.root
        seen, drawn, stage = list[Usage](), list[float](), stage_of(run)
        limit = max(self.started_at + self.seconds, session.started_at + 30)
        ticks, ticked = 0, time.monotonic()
        while time.monotonic() < limit and not session.ended():
            time.sleep(1)
            now, curves = usage(session.pid), run / "losses.png"
            seen += [now] if now else []
            if curves.exists() and curves.stat().st_mtime not in drawn:
                drawn.append(curves.stat().st_mtime)
            if len(seen) % 30 == 0:
                _drop_samples(run)
                if watch.progress_reports() == ticks and time.monotonic() - ticked > HANG_SECONDS:
                    session.abort()
                    raise Hung(f"no report for {HANG_SECONDS:.0f} s")
                if watch.progress_reports() > ticks:
                    ticks, ticked = watch.progress_reports(), time.monotonic()
        # The first drawing is from an earlier session.
        warm = drawn[3] - time.time() + time.monotonic() if len(drawn) > 3 else float("inf")
        self._stop(session, (signal.SIGTERM,), "SIGTERM")
        self.checks.check_end(self.number, before, session, watch, [])
        if not seen:
            self.checks.record_violation(self.number, "nothing could be measured")
            return
        warm = min(max(warm, session.started_at + 60), (seen[0].time + seen[-1].time) / 2)
        self.growth = resource_growth(seen, warm, stage == stage_of(run))
        for fault in self.growth.faults():
            self.checks.record_violation(self.number, fault)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self.started_at)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def summary(self) -> list[str]:
        """Return what was done and found, as lines."""

        def listed(names: list[str]) -> str:
            return (
                ", ".join(f"{self.counts[name]} {name.split(': ')[-1]}" for name in names if self.counts[name])
                or "none"
            )

        kinds, during = list(self.counts), ["two generate", "a second --resume", "a pause"]
        between = ["options changed", "option refused", "images restored"]
        row = last_stats(self.run) if self.run else {"images": 0}
        found = self.checks
        return [
            f"{self.model}: {self.number} sessions in {self._clock()} minutes, {row['images']:,} images seen",
            f"ended by: {listed([name for name in kinds if name in {*ENDINGS, *STARTUP_ENDINGS}])}",
            f"full disks: {self.counts['a full disk']} by a limit, {self.counts['tmpfs']} by a tmpfs",
            f"newest checkpoint damaged: {listed([name for name in kinds if name.startswith('checkpoint: ')])}",
            f"images damaged: {listed([name for name in kinds if name.startswith('image: ')])}",
            f"between sessions: {listed(between)}",
            f"during training: {listed(during)}",
            f"checkpoints reported as saved: {found.reported_saves}, "
            f"{found.resumed_sessions} resumes from the newest intact one",
            f"undisturbed: {self.growth}" if self.growth else "undisturbed: not measured",
            f"violations: {len(found.violations)}",
            *found.violations,
        ]


def _drop_samples(run: Path) -> None:
    """Delete old samples; an hour of them would fill gigabytes."""
    for path in sorted(run.glob("samples-*.png"))[:-10]:
        path.unlink(missing_ok=True)


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.argument("model", type=click.Choice(list(SETUPS)))
@click.option("--minutes", default=60.0, help="Duration in minutes.", show_default=True)
@click.option("--seed", default=0, help="Random seed of the faults.", show_default=True)
@click.option("--threads", default=1, help="OMP_NUM_THREADS of all processes.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: a temporary one]")
def main(model: str, minutes: float, seed: int, threads: int, out: Path | None) -> None:
    root = (out or Path(tempfile.mkdtemp(prefix="soak-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    if find_run(root / "experiments"):
        raise click.UsageError(f"--out {root}: the folder contains a run; choose a new one.")
    soak = Soak(model, minutes, seed, threads, root)
    soak.run_all()
    click.echo()
    for line in soak.summary():
        click.echo(line)
    click.echo(f"all files: {root}")
    sys.exit(1 if soak.checks.violations else 0)


if __name__ == "__main__":
    main()
