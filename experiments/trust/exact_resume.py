"""Is a run that was killed again and again the run it would have been? Byte by byte.

    python experiments/trust/exact_resume.py            # all four models, about 5 minutes each on one core
    python experiments/trust/exact_resume.py stylegan --kills 40 --seed 7

For each model a run at tiny size goes straight to its end, and a second one with the same options is killed by SIGKILL
and resumed with --resume, --kills times, until it ends too. The kills hit at random: while the process starts, at a
random time after its first report, as soon as a checkpoint is being written, with models that grow inside a fade, at
the line that tells the next stage, and as the checkpoint of that change appears. Between them it is ended by SIGTERM
and SIGINT some times, which leave a checkpoint in the middle of a tick. Every checkpoint that both runs have must be
the same file. Exit status 1 if one is not, or if the second run ended before it was killed that often.

The number of threads is the same in all processes: it is a part of the promise.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from driving import (
    DATA,
    HANG,
    STATUS,
    TINY,
    Hung,
    Session,
    Watch,
    being_written,
    checkpoints,
    code_digest,
    difference,
    folder_of,
    hidden,
    last_row,
    number,
    rows,
    table,
)

# How long, and a report of some steps: each leaves a checkpoint.
LENGTH = {
    "gan": ["--kimg", "2.4", "--tick", "0.04"],
    "lsgan": ["--kimg", "2.4", "--tick", "0.04"],
    "stylegan": ["--kimg", "1.2", "--tick", "0.016", "--max-size", "32", "--phase", "0.16", "--first-stage", "0.16"],
    "stargan2": ["--kimg", "0.64", "--tick", "0.016"],
}
GRACEFUL = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("start-up", "step", "fade", "stage change", "saving")


@dataclass
class Aim:
    """When to end a session: `kind` start-up, work or saving; the latter two when `target` images were reported."""

    kind: str
    signal: int = signal.SIGKILL
    target: int = 0


@dataclass
class Found:
    """What came of one model."""

    model: str
    steps: int = 0
    sessions: int = 0
    signals: Counter[int] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    compared: set[str] = field(default_factory=set)
    different: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Trial:
    """Both runs of one model, in a folder of their own."""

    def __init__(self, model: str, kills: int, seed: int, threads: int, folder: Path, say: Callable[[str], None]):
        self.model, self.kills, self.seed, self.threads, self.folder = model, kills, seed, threads, folder
        self.say, self.rng, self.found = say, random.Random(f"{model} {seed}"), Found(model)
        self.aims: list[Aim] = []
        self.start_up, self.tick = 5.0, 0.2  # seconds; measured in the first run
        self.hit: Counter[str] = Counter()  # how often each stage change was aimed at

    def run(self) -> Found:
        straight = self._straight()
        self.aims = self._aims(rows(straight))
        while not self._session(self.aims.pop(0) if self.aims else None):
            self._compare(straight)
        self._compare(straight)
        if checkpoints(straight)[-1].name not in self.found.compared:
            self.found.faults.append("the second run ended without the last checkpoint of the first")
        if self.found.different:
            first = min(self.found.different)
            self.found.faults.append(
                f"{len(self.found.different)} checkpoints differ, from {first} on: {self.found.different[first]}"
            )
        done = self.found.signals[signal.SIGKILL]
        if done < self.kills:
            self.found.faults.append(f"it ended after {done} kills of {self.kills}")
        return self.found

    def _arguments(self, where: str) -> list[str]:
        common = ["--device", "cpu", "--snapshot", "1", "--keep", "100000", "--seed", str(self.seed)]
        data = ["--data", DATA[self.model], "--experiments", where]
        return ["train", self.model, *TINY[self.model], *LENGTH[self.model], *common, *data]

    def _straight(self) -> Path:
        began = time.monotonic()
        session = Session(self._arguments("straight"), self.folder, self.folder / "straight", self.threads)
        experiments = self.folder / "straight"
        if session.until(lambda: folder_of(experiments) is not None, 0.05):
            watch = Watch(folder_of(experiments) or experiments)
            session.until(lambda: watch.ticks() > 0, 0.05)
        first = session.seconds
        if session.wait() != 0:
            raise Hung(f"the run straight to the end failed: {session.errors()}")
        run = folder_of(experiments)
        assert run is not None
        done = rows(run)
        self.found.steps = done[-1]["step"]
        times = [path.stat().st_mtime for path in checkpoints(run)]
        # The median, and not the mean: kernels may have been compiled in between.
        self.start_up, self.tick = first, statistics.median(b - a for a, b in itertools.pairwise(times))
        self.say(
            f"{self.model}: {done[-1]['step']} steps straight to the end in {time.monotonic() - began:.0f} s, "
            f"{len(checkpoints(run))} checkpoints"
        )
        return run

    def _aims(self, done: list[dict[str, float]]) -> list[Aim]:
        """Ends at random progress, in its order, with those at start-up between them. Changes of the stage come to
        them as they happen."""
        total, rng = int(done[-1]["images"]), self.rng
        changes = len(_changes(done))  # each is aimed at twice, and some pass while a session starts
        early = max(2, self.kills // 6)
        fading = [int(row["images"]) for row in done if 0 < row["alpha"] < 1]
        later = max(4, self.kills - early - changes)
        kinds = ["saving"] * (later // 3) + ["work"] * (later - later // 3)
        aims = [Aim(kind, target=rng.randrange(total // 50, total * 9 // 10)) for kind in kinds]
        for aim, images in zip(aims, rng.sample(fading, min(4, len(fading)))):
            aim.target = images
        aims += [Aim("work", number, rng.randrange(total // 10, total * 9 // 10)) for number in GRACEFUL]
        aims.sort(key=lambda aim: aim.target)
        for _ in range(early):
            aims.insert(rng.randrange(len(aims) + 1), Aim("start-up"))
        return aims

    def _session(self, aim: Aim | None) -> bool:
        """One process of the second run, until it is ended; True if it was training that came to its end."""
        experiments = self.folder / "killed"
        run = folder_of(experiments)
        begun = run is not None and (run / "options.json").exists()
        if run is not None and not begun:  # killed before there was anything to resume
            shutil.rmtree(run)
        resume = ["train", self.model, "--resume", "latest", "--experiments", "killed"]
        self.found.sessions += 1
        output = self.folder / f"session-{self.found.sessions:03d}"
        before = _newest(run)
        watch = Watch(run) if begun and run else None
        arguments = resume if begun else self._arguments("killed")
        session = Session(arguments, self.folder, output, self.threads)
        what = self._await(session, aim, watch, experiments)
        number_sent = aim.signal if aim else signal.SIGKILL
        running = not session.ended()
        if what and running:
            session.send(signal.SIGKILL if what == "stage change" else number_sent)
        status = session.wait(60 if what else HANG)
        session.left_over()
        run = folder_of(experiments)
        if status == 0:
            self.say(f"{self.model}: session {self.found.sessions} came to the end")
            return True
        if not what or not running:
            raise Hung(f"a session failed with status {status}: {session.errors() or session.err}")
        sent = signal.SIGKILL if what == "stage change" else number_sent
        if what == "stage change" and aim:
            self.aims.insert(0, aim)  # it is still to come
        where = self._where(what, session, watch, run)
        self.found.signals[sent] += 1
        self.found.moments[where] += 1
        if status != STATUS[signal.Signals(sent)]:
            self.found.faults.append(f"session {self.found.sessions}: status {status} after {_name(sent)}")
        if session.errors():
            self.found.faults.append(f"session {self.found.sessions}: {session.errors()[0]}")
        self.say(
            f"{self.model}: session {self.found.sessions}: {_name(sent)} after {session.seconds:.1f} s, in {where}; "
            f"checkpoint {before} -> {_newest(run)}, status {status}"
        )
        return False

    def _await(self, session: Session, aim: Aim | None, watch: Watch | None, experiments: Path) -> str:
        """Wait for the moment to send a signal and tell which it is: the aim's or a change of the stage. Nothing if
        the process ended before."""
        if aim and aim.kind == "start-up":
            time.sleep(self.rng.uniform(0, self.start_up))
            return "start-up"
        if watch is None:
            if not session.until(lambda: folder_of(experiments) is not None, 0.005):
                return ""
            watch = Watch(folder_of(experiments) or experiments)
        run, seen = watch.run, watch
        changed = ""

        def due() -> bool:
            nonlocal changed
            changed = changed or self._changed(seen)
            return bool(changed) or bool(aim and last_row(run)["images"] >= aim.target)

        if not session.until(lambda: seen.ticks() > 0):
            return ""
        self.start_up = min(self.start_up, session.seconds)
        if not session.until(due):
            return ""
        if changed:
            if self.hit[changed] == 2:  # the line, and then the checkpoint that follows it
                there = len(checkpoints(run))
                session.until(lambda: len(checkpoints(run)) > there, 0.001)
            return "stage change"
        if aim and aim.kind == "saving":
            session.until(lambda: being_written(run), 0.0003)
            return "saving"
        time.sleep(self.rng.uniform(0, 2 * self.tick))
        return "step"

    def _changed(self, watch: Watch) -> str:
        """The line of a stage that has begun in this session, if it was aimed at less than twice."""
        for line in watch.stages()[1:]:
            told = line.split("kimg: ", 1)[1]
            if self.hit[told] < 2:
                self.hit[told] += 1
                return told
        return ""

    def _where(self, what: str, session: Session, watch: Watch | None, run: Path | None) -> str:
        """Where the signal hit, as far as one can tell from outside."""
        if run is None or what == "stage change":
            return what
        if any(name.startswith(f".unfinished-{session.pid}-checkpoint-") for name in hidden(run)):
            return "saving"
        if (watch.ticks() if watch else len(rows(run))) == 0:
            return "start-up"
        return "fade" if 0 < last_row(run)["alpha"] < 1 else "step"

    def _compare(self, straight: Path) -> None:
        """Compare the checkpoints that both runs have, and delete all but the newest of the second run."""
        run = folder_of(self.folder / "killed")
        ours = checkpoints(run) if run else []
        for path in ours:
            if not (straight / path.name).exists():
                continue  # in the middle of a tick
            self.found.compared.add(path.name)
            how = difference(path, straight / path.name)
            if how and path.name not in self.found.different:
                self.found.different[path.name] = how
                self.say(f"{self.model}: {path.name} DIFFERS: {how}")
        for path in ours[:-2]:
            path.unlink()


def _changes(done: list[dict[str, float]]) -> list[tuple[float, bool]]:
    """The stages and ends of fades that training passed through after its beginning."""
    kinds = [(row["size"], row["alpha"] < 1) for row in done]
    return [kind for kind, former in zip(kinds[1:], kinds) if kind != former]


def _newest(run: Path | None) -> int:
    """The images of the newest checkpoint, 0 if there is none."""
    found = checkpoints(run) if run else []
    return number(found[-1]) if found else 0


def _name(number: int) -> str:
    return signal.Signals(number).name


def _line(found: Found) -> list[str]:
    signals = ", ".join(f"{count} {_name(number)}" for number, count in sorted(found.signals.items(), reverse=True))
    counts = [str(found.moments[moment]) for moment in MOMENTS]
    identical = "NO" if found.different else "yes"
    return [found.model, str(found.steps), str(found.sessions), signals, *counts, str(len(found.compared)), identical]


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.argument("models", nargs=-1, type=click.Choice(list(LENGTH)))
@click.option("--kills", default=20, type=click.IntRange(1), help="SIGKILLs for each model.", show_default=True)
@click.option("--seed", default=0, help="Of the runs and of the moments.", show_default=True)
@click.option("--threads", default=1, help="OMP_NUM_THREADS of all processes.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the runs.  [default: a temporary one]")
def main(models: tuple[str, ...], kills: int, seed: int, threads: int, out: Path | None) -> None:
    code = code_digest()
    root = out or Path(tempfile.mkdtemp(prefix="exact-resume-"))
    results = []
    for model in models or tuple(LENGTH):
        folder = root.resolve() / model
        folder.mkdir(parents=True)
        trial = Trial(model, kills, seed, threads, folder, lambda line: click.echo(line))
        try:
            trial.run()
        except Hung as error:
            trial.found.faults.append(str(error))
        results.append(trial.found)
    click.echo()
    for line in table(
        ["model", "steps", "sessions", "ended by", *MOMENTS, "compared", "identical"], map(_line, results)
    ):
        click.echo(line)
    faults = [f"{found.model}: {fault}" for found in results for fault in found.faults]
    if code_digest() != code:
        faults.append("ganzoo's own code was changed meanwhile; nothing is proved")
    for fault in faults:
        click.echo(fault)
    if out is None and not faults:
        shutil.rmtree(root)
    else:
        click.echo(f"runs and output of every session: {root}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
