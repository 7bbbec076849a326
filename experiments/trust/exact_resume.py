"""Is a run that was killed again and again the same as an uninterrupted one, byte for byte?

    python experiments/trust/exact_resume.py            # all four models, about 5 minutes each on one core
    python experiments/trust/exact_resume.py stylegan --kills 40 --seed 7

For each model, a run at tiny size goes straight to its end. A second run with the same options is killed by SIGKILL and
resumed with --resume, --kills times, until it ends too. A kill comes while the process starts, at a random time after
its first report, or as soon as a checkpoint is being written. A model that grows is also killed during a fade, when it
announces the next stage, and when the checkpoint of that change appears. A few times the run is ended by SIGTERM or
SIGINT instead, which leave a checkpoint in the middle of a tick. Every checkpoint that both runs have must be the same
file. The exit status is 1 if one differs, or if the second run ends before --kills kills.

All processes use the same number of threads, which exact resuming requires.
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
from processes import (
    DATA,
    EXIT_STATUS,
    HANG_SECONDS,
    TINY,
    RunWatcher,
    Session,
    SessionFailed,
    checkpoint_images,
    checkpoints,
    code_digest,
    describe_difference,
    find_run,
    format_table,
    is_writing_checkpoint,
    last_stats,
    read_stats,
    temporary_files,
)

# Length of the training, and of a tick; each tick leaves a checkpoint.
LENGTH_OPTIONS = {
    "gan": ["--kimg", "2.4", "--tick", "0.04"],
    "lsgan": ["--kimg", "2.4", "--tick", "0.04"],
    "stylegan": ["--kimg", "1.2", "--tick", "0.016", "--max-size", "32", "--phase", "0.16", "--first-stage", "0.16"],
    "stargan2": ["--kimg", "0.64", "--tick", "0.016"],
}
GRACEFUL_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("start-up", "step", "fade", "stage change", "saving")


@dataclass
class Target:
    """When to end a session. `kind` is start-up, step or saving; the latter two wait until `images` have been seen."""

    kind: str
    signal: int = signal.SIGKILL
    images: int = 0


@dataclass
class Result:
    """Results of one model."""

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

    def __init__(self, model: str, kills: int, seed: int, threads: int, folder: Path, log: Callable[[str], None]):
        self.model, self.kills, self.seed, self.threads, self.folder = model, kills, seed, threads, folder
        self.log, self.rng, self.found = log, random.Random(f"{model} {seed}"), Result(model)
        self.targets: list[Target] = []
        self.start_up, self.tick = 5.0, 0.2  # seconds; measured in the first run
        self.times_hit: Counter[str] = Counter()  # how often each stage change was hit

    def run(self) -> Result:
        straight = self._run_straight()
        self.targets = self._plan_targets(read_stats(straight))
        while not self._session(self.targets.pop(0) if self.targets else None):
            self._compare(straight)
        self._compare(straight)
        if checkpoints(straight)[-1].name not in self.found.compared:
            self.found.faults.append("the second run lacks the last checkpoint of the first")
        if self.found.different:
            first = min(self.found.different)
            self.found.faults.append(
                f"{len(self.found.different)} checkpoints differ, from {first} on: {self.found.different[first]}"
            )
        done = self.found.signals[signal.SIGKILL]
        if done < self.kills:
            self.found.faults.append(f"it ended after {done} of {self.kills} kills")
        return self.found

    def _arguments(self, where: str) -> list[str]:
        common = ["--device", "cpu", "--snapshot", "1", "--keep", "100000", "--seed", str(self.seed)]
        data = ["--data", DATA[self.model], "--experiments", where]
        return ["train", self.model, *TINY[self.model], *LENGTH_OPTIONS[self.model], *common, *data]

    def _run_straight(self) -> Path:
        started_at = time.monotonic()
        session = Session(self._arguments("straight"), self.folder, self.folder / "straight", self.threads)
        experiments = self.folder / "straight"
        if session.wait_until(lambda: find_run(experiments) is not None, 0.05):
            watch = RunWatcher(find_run(experiments) or experiments)
            session.wait_until(lambda: watch.progress_reports() > 0, 0.05)
        first = session.seconds
        if session.wait() != 0:
            raise SessionFailed(f"the run straight to the end failed: {session.errors()}")
        run = find_run(experiments)
        assert run is not None
        stats = read_stats(run)
        self.found.steps = stats[-1]["step"]
        times = [path.stat().st_mtime for path in checkpoints(run)]
        # Kernels may have been compiled between two checkpoints, so take the median.
        self.start_up, self.tick = first, statistics.median(b - a for a, b in itertools.pairwise(times))
        self.log(
            f"{self.model}: {stats[-1]['step']} steps straight to the end in {time.monotonic() - started_at:.0f} s, "
            f"{len(checkpoints(run))} checkpoints"
        )
        return run

    def _plan_targets(self, stats: list[dict[str, float]]) -> list[Target]:
        """Return targets with random `images`, in ascending order, and start-up targets at random places among them.
        Stage changes need no target: they are hit when they happen."""
        total, rng = int(stats[-1]["images"]), self.rng
        changes = len(_changes(stats))  # each is hit twice, unless it passes while a session starts
        early = max(2, self.kills // 6)
        fading = [int(row["images"]) for row in stats if 0 < row["alpha"] < 1]
        later = max(4, self.kills - early - changes)
        kinds = ["saving"] * (later // 3) + ["step"] * (later - later // 3)
        targets = [Target(kind, images=rng.randrange(total // 50, total * 9 // 10)) for kind in kinds]
        for target, images in zip(targets, rng.sample(fading, min(4, len(fading)))):
            target.images = images
        targets += [Target("step", number, rng.randrange(total // 10, total * 9 // 10)) for number in GRACEFUL_SIGNALS]
        targets.sort(key=lambda target: target.images)
        for _ in range(early):
            targets.insert(rng.randrange(len(targets) + 1), Target("start-up"))
        return targets

    def _session(self, target: Target | None) -> bool:
        """Run one process of the second run until it ends; return True if the training was complete."""
        experiments = self.folder / "killed"
        run = find_run(experiments)
        begun = run is not None and (run / "options.json").exists()
        if run is not None and not begun:  # killed too early to be resumed
            shutil.rmtree(run)
        resume = ["train", self.model, "--resume", "latest", "--experiments", "killed"]
        self.found.sessions += 1
        output = self.folder / f"session-{self.found.sessions:03d}"
        before = _newest(run)
        watch = RunWatcher(run) if begun and run else None
        arguments = resume if begun else self._arguments("killed")
        session = Session(arguments, self.folder, output, self.threads)
        what = self._wait_for_target(session, target, watch, experiments)
        number_sent = target.signal if target else signal.SIGKILL
        running = not session.ended()
        if what and running:
            session.send(signal.SIGKILL if what == "stage change" else number_sent)
        status = session.wait(60 if what else HANG_SECONDS)
        session.kill_leftovers()
        run = find_run(experiments)
        if status == 0:
            self.log(f"{self.model}: session {self.found.sessions} completed the run")
            return True
        if not what or not running:
            raise SessionFailed(f"a session failed with status {status}: {session.errors() or session.err}")
        sent = signal.SIGKILL if what == "stage change" else number_sent
        if what == "stage change" and target:
            self.targets.insert(0, target)  # the target has not been reached
        where = self._classify(what, session, watch, run)
        self.found.signals[sent] += 1
        self.found.moments[where] += 1
        if status != EXIT_STATUS[signal.Signals(sent)]:
            self.found.faults.append(f"session {self.found.sessions}: status {status} after {_name(sent)}")
        if session.errors():
            self.found.faults.append(f"session {self.found.sessions}: {session.errors()[0]}")
        self.log(
            f"{self.model}: session {self.found.sessions}: {_name(sent)} after {session.seconds:.1f} s, in {where}; "
            f"checkpoint {before} -> {_newest(run)}, status {status}"
        )
        return False

    def _wait_for_target(
        self, session: Session, target: Target | None, watch: RunWatcher | None, experiments: Path
    ) -> str:
        """Wait until a signal is due, and return why: the target's kind or a stage change. Return '' if the process
        ends first."""
        if target and target.kind == "start-up":
            time.sleep(self.rng.uniform(0, self.start_up))
            return "start-up"
        if watch is None:
            if not session.wait_until(lambda: find_run(experiments) is not None, 0.005):
                return ""
            watch = RunWatcher(find_run(experiments) or experiments)
        run, seen = watch.run, watch
        changed = ""

        def due() -> bool:
            nonlocal changed
            changed = changed or self._stage_change(seen)
            return bool(changed) or bool(target and last_stats(run)["images"] >= target.images)

        if not session.wait_until(lambda: seen.progress_reports() > 0):
            return ""
        self.start_up = min(self.start_up, session.seconds)
        if not session.wait_until(due):
            return ""
        if changed:
            if self.times_hit[changed] == 2:  # the first is killed when the stage is announced, this at its checkpoint
                there = len(checkpoints(run))
                session.wait_until(lambda: len(checkpoints(run)) > there, 0.001)
            return "stage change"
        if target and target.kind == "saving":
            session.wait_until(lambda: is_writing_checkpoint(run), 0.0003)
            return "saving"
        time.sleep(self.rng.uniform(0, 2 * self.tick))
        return "step"

    def _stage_change(self, watch: RunWatcher) -> str:
        """Return the announcement of a stage that began in this session and was hit less than twice, and count the
        hit; '' if there is none."""
        for line in watch.stages()[1:]:
            stage = line.split("kimg: ", 1)[1]
            if self.times_hit[stage] < 2:
                self.times_hit[stage] += 1
                return stage
        return ""

    def _classify(self, what: str, session: Session, watch: RunWatcher | None, run: Path | None) -> str:
        """Return what the signal hit, as far as can be seen from outside."""
        if run is None or what == "stage change":
            return what
        if any(name.startswith(f".unfinished-{session.pid}-checkpoint-") for name in temporary_files(run)):
            return "saving"
        if (watch.progress_reports() if watch else len(read_stats(run))) == 0:
            return "start-up"
        return "fade" if 0 < last_stats(run)["alpha"] < 1 else "step"

    def _compare(self, straight: Path) -> None:
        """Compare the checkpoints that both runs have, and delete all but the newest two of the second run."""
        run = find_run(self.folder / "killed")
        ours = checkpoints(run) if run else []
        for path in ours:
            if not (straight / path.name).exists():
                continue  # saved in the middle of a tick
            self.found.compared.add(path.name)
            how = describe_difference(path, straight / path.name)
            if how and path.name not in self.found.different:
                self.found.different[path.name] = how
                self.log(f"{self.model}: {path.name} DIFFERS: {how}")
        for path in ours[:-2]:
            path.unlink()


def _changes(stats: list[dict[str, float]]) -> list[tuple[float, bool]]:
    """Return the changes of stage and the ends of fades during training."""
    kinds = [(row["size"], row["alpha"] < 1) for row in stats]
    return [kind for kind, former in zip(kinds[1:], kinds) if kind != former]


def _newest(run: Path | None) -> int:
    """Return the number of images seen up to the newest checkpoint, or 0 if there is none."""
    found = checkpoints(run) if run else []
    return checkpoint_images(found[-1]) if found else 0


def _name(number: int) -> str:
    return signal.Signals(number).name


def _table_line(found: Result) -> list[str]:
    signals = ", ".join(f"{count} {_name(number)}" for number, count in sorted(found.signals.items(), reverse=True))
    counts = [str(found.moments[moment]) for moment in MOMENTS]
    identical = "NO" if found.different else "yes"
    return [found.model, str(found.steps), str(found.sessions), signals, *counts, str(len(found.compared)), identical]


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.argument("models", nargs=-1, type=click.Choice(list(LENGTH_OPTIONS)))
@click.option("--kills", default=20, type=click.IntRange(1), help="SIGKILLs for each model.", show_default=True)
@click.option("--seed", default=0, help="Random seed of the runs and of the kills.", show_default=True)
@click.option("--threads", default=1, help="OMP_NUM_THREADS of all processes.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the runs.  [default: a temporary one]")
def main(models: tuple[str, ...], kills: int, seed: int, threads: int, out: Path | None) -> None:
    code = code_digest()
    root = out or Path(tempfile.mkdtemp(prefix="exact-resume-"))
    results = []
    for model in models or tuple(LENGTH_OPTIONS):
        folder = root.resolve() / model
        folder.mkdir(parents=True)
        trial = Trial(model, kills, seed, threads, folder, lambda line: click.echo(line))
        try:
            trial.run()
        except SessionFailed as error:
            trial.found.faults.append(str(error))
        results.append(trial.found)
    click.echo()
    for line in format_table(
        ["model", "steps", "sessions", "ended by", *MOMENTS, "compared", "identical"], map(_table_line, results)
    ):
        click.echo(line)
    faults = [f"{found.model}: {fault}" for found in results for fault in found.faults]
    if code_digest() != code:
        faults.append("ganzoo's code changed meanwhile, so the comparison is invalid")
    for fault in faults:
        click.echo(fault)
    if out is None and not faults:
        shutil.rmtree(root)
    else:
        click.echo(f"runs and output of every session: {root}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
