"""Does a run bear an hour of whatever can happen to it?

    python experiments/trust/soak.py stylegan --minutes 60 --out soak-stylegan

Trains one model at tiny size on a folder of copied images, in sessions of random length. They are ended by SIGKILL,
SIGTERM, SIGINT and SIGHUP, by two signals, by signals at start-up, and by a disk that is full (a limit on the size of
files, and a small tmpfs where one can be mounted). While they go on they are paused, a second process wants the run,
and two processes generate from it. Between them checkpoints and images are damaged and options are changed. After each
session it is checked that nothing reported as saved was lost, that the next one went on from the newest whole
checkpoint, that statistics are whole and rise, that errors are one line, and that nothing is left over: no temporary
file, no process, no lock.

The last quarter of the time is one session without any disturbance. Its median memory and its fewest open files and
threads are compared, of the first and the last tenth of the time after the warm-up, which is over when the curves have
been drawn three times and a minute has passed, or after half of the session. Memory may grow by 5 %, the others not at
all.

Exit status 1 if anything was violated; the output of every session is in --out.
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
from checks import Checks, Held, held, stage_of
from driving import (
    DATA,
    HANG,
    STATUS,
    TINY,
    Hung,
    Session,
    Usage,
    Watch,
    checkpoints,
    folder_of,
    last_row,
    newest_whole,
    number,
    usage,
)
from faults import CHECKPOINT_FAULTS, IMAGE_FAULTS, Images

# Images in the folder, their size in px (0: as they are), and options: a report takes a second or two, and checkpoints
# are larger than any kernel that is compiled, so that a limit between the two is a full disk for the run alone.
SMALL = {
    "gan": (96, 0, ["--tick", "1"]),
    "lsgan": (96, 0, ["--tick", "0.4"]),
    "stylegan": (96, 32, ["--tick", "0.2", "--max-size", "32", "--phase", "2", "--channels-base", "2048"]),
    "stargan2": (96, 64, ["--tick", "0.032", "--channels-base", "2048", "--hidden", "128"]),
}
SMALL["stylegan"][2].extend(["--channels-max", "64"])
SMALL["stargan2"][2].extend(["--channels-max", "32"])
COMMON = ["--kimg", "1000000", "--snapshot", "1", "--keep", "3", "--device", "cpu"]
ENDINGS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT and SIGKILL": (signal.SIGINT, signal.SIGKILL),
}
EARLY = {f"{name} at start-up": ENDINGS[name] for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")}
DURING = ("nothing", "a pause", "a second --resume", "two generate", "nothing")
CHANGES = [["--workers", "1"], ["--workers", "3"], ["--keep", "2"], ["--keep", "4"], ["--learning-rate", "0.0001"]]
CHANGES += [["--learning-rate", "0.00005"]]


class Deck:
    """Cards in a random order, and again when all were drawn: every kind of fault gets its turn."""

    def __init__(self, cards: list[str], rng: random.Random) -> None:
        self.cards, self.rng, self.left = cards, rng, list[str]()

    def draw(self) -> str:
        if not self.left:
            self.left = self.rng.sample(self.cards, len(self.cards))
        return self.left.pop()


class Soak:
    """One run and what is done to it."""

    def __init__(self, model: str, minutes: float, seed: int, threads: int, root: Path) -> None:
        self.model, self.seconds, self.threads, self.root = model, minutes * 60, threads, root
        self.rng = rng = random.Random(f"{model} {seed}")
        count, size, self.options = SMALL[model]
        self.images = Images(DATA[model], count, size, root / "images")
        self.output = root / "sessions"
        self.output.mkdir()
        self.done: Counter[str] = Counter()
        self.checks = Checks(root / "experiments")
        self.endings = Deck(["SIGKILL", *ENDINGS, *EARLY, "a full disk"], rng)
        self.during = Deck(list(DURING), rng)
        between = [f"checkpoint: {kind}" for kind in CHECKPOINT_FAULTS] + [f"image: {kind}" for kind in IMAGE_FAULTS]
        self.between = Deck([*between, *["images mended", "options changed", "option refused", "tmpfs"] * 2], rng)
        self.changes = Deck([" ".join(change) for change in CHANGES], rng)
        self.start_up, self.began, self.count = 5.0, time.monotonic(), 0
        self.held: Held | None = None

    @property
    def run(self) -> Path | None:
        return self.checks.run

    def go(self) -> None:
        """Sessions with faults for three quarters of the time, then one without."""
        longest = min(max(self.seconds / 60, 5), 45)
        while time.monotonic() - self.began < 0.75 * self.seconds:
            extra = self._between() if self.run and checkpoints(self.run) else []
            self._guarded(lambda: self._session(self.endings.draw(), self.rng.uniform(1, longest), extra))  # noqa: B023
        self.images.mend()
        self._guarded(self._undisturbed)

    def _guarded(self, session) -> None:  # type: ignore[no-untyped-def]
        try:
            session()
        except Hung as error:
            self.checks.violated(self.count, str(error))
        if self.run:
            _drop_samples(self.run)

    def _start(self, arguments: list[str], kind: str = "", limit: int | None = None) -> Session:
        output = self.output / f"{self.count:04d}{kind}"
        return Session(arguments, self.root, output, self.threads, limit)

    def _train(self) -> list[str]:
        if self.run and (self.run / "options.json").exists():
            return ["train", self.model, "--resume", "latest"]
        if self.run:
            shutil.rmtree(self.run)  # killed before there was anything to resume
        return ["train", self.model, *TINY[self.model], *self.options, *COMMON, "--data", "images"]

    def _session(self, ending: str, seconds: float, extra: list[str]) -> None:
        self.count += 1
        limit = None
        if ending == "a full disk":
            newest = newest_whole(self.run) if self.run else None
            if newest is None:  # the limit would hit Jittor's own files
                ending = "SIGKILL"
            else:
                limit = newest.stat().st_size // 2
        before = self.checks.before(self.images.folder)
        session = self._start([*self._train(), *extra], limit=limit)
        watch = Watch(before.run) if before.run else None
        while watch is None and not session.ended():
            time.sleep(0.01)
            watch = Watch(self.run) if self.run else None
        try:
            self._disturb(session, watch, ending, seconds)
        finally:
            if not session.ended():
                session.end()
        self.done[ending] += 1
        self.checks.after(self.count, before, session, watch, extra)
        click.echo(
            f"{self._clock()} session {self.count}: {ending} after {session.seconds:.0f} s, status "
            f"{session.process.returncode}, at {last_row(self.run)['images'] if self.run else 0:,} images"
        )

    def _disturb(self, session: Session, watch: Watch | None, ending: str, seconds: float) -> None:
        if ending in EARLY:
            time.sleep(self.rng.uniform(0, self.start_up))
            self._end(session, EARLY[ending], ending)
            return
        if watch and session.until(lambda: watch.ticks() > 0, 0.05):
            self.start_up = session.seconds
            self.checks.started(self.count, session, watch)
        if ending == "a full disk":
            status = session.wait()
            self.checks.expect(self.count, status == 1, f"status {status} and not 1 with a full disk")
            self.checks.expect(self.count, len(session.errors()) == 1, f"a full disk is told as {session.errors()}")
            return
        time.sleep(seconds / 2)
        if watch and not session.ended():
            self._meanwhile(session, watch, self.during.draw())
        time.sleep(seconds / 2)
        self._end(session, ENDINGS[ending], ending)

    def _end(self, session: Session, signals: tuple[int, ...], ending: str) -> None:
        """Send the signals, and check how the process ends."""
        if session.ended():
            self.checks.violated(self.count, f"it ended by itself, with status {session.process.returncode}")
            return
        session.send(signals[0])
        sent = time.monotonic()
        for other in signals[1:]:
            time.sleep(self.rng.uniform(0, 0.3))
            session.send(other)
        status, took = session.wait(60), time.monotonic() - sent
        expected = {STATUS[signal.Signals(signals[0])]} | {-each for each in signals[1:]}
        if ending in EARLY:
            expected |= {-signals[0]}
        self.checks.expect(self.count, status in expected, f"status {status} after {ending}, and not {expected}")
        self.checks.expect(self.count, took < (5 if len(signals) > 1 else 30), f"it took {took:.0f} s after {ending}")
        told = len(session.errors())
        self.checks.expect(self.count, told <= (ending in EARLY), f"{ending} is told as {session.errors()}")

    def _meanwhile(self, session: Session, watch: Watch, what: str) -> None:
        if what != "nothing":
            self.done[what] += 1
        if what == "a pause":
            session.send(signal.SIGSTOP)
            time.sleep(self.rng.uniform(1, 5))
            session.send(signal.SIGCONT)
        elif what == "a second --resume":
            second = self._start(["train", self.model, "--resume", "latest"], "-second")
            status, errors = second.wait(), second.errors()
            refused = status == 1 and len(errors) == 1 and "in use" in errors[0]
            self.checks.expect(self.count, refused, f"a second --resume: status {status}, {errors}")
        elif what == "two generate":
            source = ["--source", str(self.images.pristine / self.images.paths[0])] if self.model == "stargan2" else []
            wanted = ["generate", "latest", "--seeds", "0-3", *source, "--device", "cpu", "--out"]
            both = [self._start([*wanted, f"made-{name}"], f"-generate-{name}") for name in "ab"]
            for each, name in zip(both, "ab"):
                status, made = each.wait(), list((self.root / f"made-{name}").glob("*.png"))
                good = status == 0 and not each.errors() and bool(made)
                self.checks.expect(self.count, good, f"generate beside it: status {status}, {each.errors()}")
                shutil.rmtree(self.root / f"made-{name}", ignore_errors=True)
        ticks = watch.ticks()
        if not session.until(lambda: watch.ticks() > ticks, 0.05):
            self.checks.violated(self.count, f"{what}: it ended, with status {session.process.returncode}")

    def _between(self) -> list[str]:
        """Something that happens to the run while nobody trains; options for the next session."""
        assert self.run is not None
        what = self.between.draw()
        kind = what.split(": ")[-1]
        if what.startswith("checkpoint: "):
            there = checkpoints(self.run)
            if len(there) < 2:
                return []
            CHECKPOINT_FAULTS[kind](there[-1], self.rng)
            self.checks.damaged(there[-1])
        elif what.startswith("image: "):
            if len(self.images.spoiled) >= len(self.images.paths) // 4:
                self.images.mend()
            self.images.spoil(kind, self.rng)
        elif what == "images mended":
            self.images.mend()
        elif what == "tmpfs" and not self._tmpfs(self.run):
            what = "no tmpfs"
        elif what == "option refused":
            self._refused(["--latent", "7"])
        self.done[what] += 1
        return self.changes.draw().split() if what == "options changed" else []

    def _refused(self, options: list[str]) -> None:
        """Options that the networks of the run don't fit: one line, and nothing is changed."""
        assert self.run is not None
        names = [path.name for path in checkpoints(self.run)]
        session = self._start(["train", self.model, "--resume", "latest", *options], "-refused")
        status, errors = session.wait(), session.errors()
        self.checks.expect(self.count, status in (1, 2), f"{' '.join(options)} on resume: status {status}")
        self.checks.expect(self.count, len(errors) == 1, f"{' '.join(options)} on resume: {errors}")
        untouched = [path.name for path in checkpoints(self.run)] == names
        self.checks.expect(self.count, untouched, f"{' '.join(options)} on resume changed the checkpoints")

    def _tmpfs(self, run: Path) -> bool:
        """Go on with a copy of the run in a file system that has no room for another checkpoint; False if none can be
        mounted."""
        newest = newest_whole(run)
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
            self.checks.expect(self.count, status == 1 and len(errors) == 1, f"no space: status {status}, {errors}")
            left = newest_whole(place / run.name)
            same = left is not None and number(left) >= number(newest)
            self.checks.expect(self.count, same, "no space: the newest checkpoint is lost")
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False)
        return True

    def _undisturbed(self) -> None:
        """The last session, whose memory, files and threads are looked at."""
        self.count += 1
        before = self.checks.before(self.images.folder)
        session = self._start(self._train())
        watch = Watch(before.run or self.root)
        session.until(lambda: watch.ticks() > 0, 0.05)
        self.checks.started(self.count, session, watch)
        run = self.run or self.root
        seen, drawn, stage = list[Usage](), list[float](), stage_of(run)
        limit = max(self.began + self.seconds, session.began + 30)
        ticks, ticked = 0, time.monotonic()
        while time.monotonic() < limit and not session.ended():
            time.sleep(1)
            now, curves = usage(session.pid), run / "losses.png"
            seen += [now] if now else []
            if curves.exists() and curves.stat().st_mtime not in drawn:
                drawn.append(curves.stat().st_mtime)
            if len(seen) % 30 == 0:
                _drop_samples(run)
                if watch.ticks() == ticks and time.monotonic() - ticked > HANG:
                    session.end()
                    raise Hung(f"no report for {HANG:.0f} s")
                if watch.ticks() > ticks:
                    ticks, ticked = watch.ticks(), time.monotonic()
        # The first of them is the drawing of an earlier session, the next one the first of this.
        warm = drawn[3] - time.time() + time.monotonic() if len(drawn) > 3 else float("inf")
        self._end(session, (signal.SIGTERM,), "SIGTERM")
        self.checks.after(self.count, before, session, watch, [])
        if not seen:
            self.checks.violated(self.count, "nothing could be measured")
            return
        warm = min(max(warm, session.began + 60), (seen[0].time + seen[-1].time) / 2)
        self.held = held(seen, warm, stage == stage_of(run))
        for fault in self.held.faults():
            self.checks.violated(self.count, fault)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self.began)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def summary(self) -> list[str]:
        """What was done and found."""

        def counts(names: list[str]) -> str:
            return ", ".join(f"{self.done[name]} {name.split(': ')[-1]}" for name in names if self.done[name]) or "none"

        done, rest = list(self.done), ["two generate", "a second --resume", "a pause"]
        between = ["options changed", "option refused", "images mended"]
        row = last_row(self.run) if self.run else {"images": 0}
        found = self.checks
        return [
            f"{self.model}: {self.count} sessions in {self._clock()} minutes, {row['images']:,} images seen",
            f"ended by: {counts([name for name in done if name in {*ENDINGS, *EARLY}])}",
            f"full disks: {self.done['a full disk']} by a limit, {self.done['tmpfs']} by a tmpfs",
            f"newest checkpoint damaged: {counts([name for name in done if name.startswith('checkpoint: ')])}",
            f"images damaged: {counts([name for name in done if name.startswith('image: ')])}",
            f"between sessions: {counts(between)}",
            f"while it trained: {counts(rest)}",
            f"checkpoints reported as saved: {found.reported}, {found.resumed} times resumed from the newest whole one",
            f"undisturbed: {self.held}" if self.held else "undisturbed: not measured",
            f"violations: {len(found.violations)}",
            *found.violations,
        ]


def _drop_samples(run: Path) -> None:
    """Pictures of an hour would fill gigabytes."""
    for path in sorted(run.glob("samples-*.png"))[:-10]:
        path.unlink(missing_ok=True)


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.argument("model", type=click.Choice(list(SMALL)))
@click.option("--minutes", default=60.0, help="How long.", show_default=True)
@click.option("--seed", default=0, help="Of everything that is done to it.", show_default=True)
@click.option("--threads", default=1, help="OMP_NUM_THREADS of all processes.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: a temporary one]")
def main(model: str, minutes: float, seed: int, threads: int, out: Path | None) -> None:
    root = (out or Path(tempfile.mkdtemp(prefix="soak-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    if folder_of(root / "experiments"):
        raise click.UsageError(f"--out {root}: there is a run in it already.")
    soak = Soak(model, minutes, seed, threads, root)
    soak.go()
    click.echo()
    for line in soak.summary():
        click.echo(line)
    click.echo(f"everything: {root}")
    sys.exit(1 if soak.checks.violations else 0)


if __name__ == "__main__":
    main()
