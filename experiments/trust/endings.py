"""Does every command end cleanly, whatever signal it gets and whenever?

    python experiments/trust/endings.py --signals 500 --out endings      # about an hour on two cores
    python experiments/trust/endings.py generate evaluate --signals 50 --out endings

Starts commands in terminals of their own, as a shell does, and stops each at a random moment: by Ctrl-C, by closing the
terminal, or by a signal to the process or its group. Each must end within 30 seconds with the signal's exit status and
one line, without a traceback, and leave no process behind. A training that had begun must have a checkpoint of its last
step, and no checkpoint reported as saved may be lost.

`compile` starts with an empty HOME, so that Jittor itself is compiled; `kernels` starts with Jittor compiled but no
kernels. The exit status is 1 if any check fails; the output of every failed command is in --out.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image
from processes import (
    DATA,
    TINY,
    Hung,
    checkpoint_images,
    forbidden_output,
    format_table,
    last_stats,
    newest_intact,
    reported_saves,
)
from terminal import STOP_METHODS, Terminal

MAX_ENDING_SECONDS = 30.0  # the time in which a command must end after a signal
GANZOO = [sys.executable, "-m", "ganzoo"]
TRAINING = "--kimg 100000 --snapshot 1 --keep 2 --device cpu"


@dataclass(frozen=True)
class Scenario:
    """A command, the seconds within which it gets a signal, and what it needs."""

    command: str  # after `ganzoo`
    seconds: float
    run: str = ""  # folder of the run that it trains
    ranks: int = 1
    home: str = ""  # 'empty', or 'core' (holds a compiled Jittor without kernels)


def train(model: str, options: str, seconds: float = 12.0, ranks: int = 1, home: str = "") -> Scenario:
    words = ["train", model, "--data", DATA[model], *TINY[model], TRAINING, options]
    return Scenario(" ".join(words), seconds, "experiments", ranks, home)


SCENARIOS = {
    "gan": train("gan", "--tick 0.4"),
    "lsgan": train("lsgan", "--tick 0.2"),
    "stylegan": train("stylegan", "--tick 0.1 --max-size 32 --phase 0.2", 20.0),
    "stargan2": train("stargan2", "--size 64 --tick 0.05", 20.0),
    "evaluated": train("gan", "--tick 0.4 --evaluate-every 0.4 --evaluate-samples 200", 20.0),
    "ranks": train("gan", "--tick 0.4", 15.0, ranks=2),
    "generate": Scenario("generate 0 --experiments trained --seeds 0-95 --grid 8x12 --out made", 4.0),
    "animate": Scenario("generate 0 --experiments trained --interpolate --out made --format mp4", 8.0),
    "translate": Scenario("generate 1 --experiments trained --source pictures --out made", 10.0),
    "evaluate": Scenario("evaluate 0 --experiments trained --samples 500 --real 500", 15.0),
    "prepare": Scenario("data prepare pictures --sizes 8-64 --out ./prepared", 12.0),
    "check": Scenario("data check pictures", 8.0),
    "compile": train("gan", "", 150.0, home="empty"),
    "kernels": train("stargan2", "--size 64", 60.0, home="core"),
}
RARITY = {"compile": 20, "kernels": 6}  # tried this many times less often, because they take long


class Trial:
    """Starts and stops commands in a folder, and collects faults."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest: dict[str, float] = {}

    def set_up(self, names: list[str]) -> None:
        """Make pictures, and train the runs from which images are generated."""
        generator = np.random.default_rng(0)
        for index in range(600):
            folder = self.root / "pictures" / "ab"[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (300, 300, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
        if {"generate", "animate", "evaluate", "translate"} & {*names}:
            for model in ("gan", "stargan2"):
                options = [*TINY[model], "--kimg", "0.02", "--experiments", "trained"]
                command = [*GANZOO, "train", model, "--data", DATA[model], *options]
                subprocess.run(command, cwd=self.root, check=True, capture_output=True)

        if any(SCENARIOS[name].home == "core" for name in names):
            command = [sys.executable, "-c", "from ganzoo import backend; backend.start('cpu')"]
            subprocess.run(command, env={**os.environ, **self._home("core", self.root)}, check=True)

    def _home(self, kind: str, here: Path) -> dict[str, str]:
        """Return the environment variables for a HOME of this kind."""
        if not kind:
            return {}
        home = (self.root if kind == "core" else here) / "home"
        home.mkdir(exist_ok=True)
        for kernels in home.rglob("jit"):
            if kernels.parent.name.startswith("ganzoo-"):
                shutil.rmtree(kernels)
                kernels.mkdir()
        data = os.environ.get("GANZOO_DATA") or Path.home() / ".local" / "share" / "ganzoo"
        return {"HOME": str(home), "GANZOO_DATA": str(data)}

    def attempt(self, name: str, method: str, delay: float) -> list[str]:
        """Start a scenario, stop it after `delay` seconds, and return the faults."""
        scenario = SCENARIOS[name]
        here = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))
        for shared in ("pictures", "trained"):
            (here / shared).symlink_to(self.root / shared)
        command = [*GANZOO, *scenario.command.split()]
        if scenario.ranks > 1:
            command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", str(scenario.ranks), *command]
        terminal = Terminal(command, here, here / "shown", self._home(scenario.home, here))
        terminal.wait_until(lambda: terminal.seconds > delay)
        stop, expected = STOP_METHODS[method]
        ended = terminal.ended()
        stop(terminal)
        started_at = time.monotonic()
        status: int | None = None
        try:
            status = terminal.wait(MAX_ENDING_SECONDS)
        except Hung as error:
            faults = [str(error)]
        else:
            faults = ending_faults(scenario, terminal, status, None if ended else expected)
        took = time.monotonic() - started_at
        self.slowest[name] = max(self.slowest.get(name, 0.0), took)
        if left := terminal.kill_leftovers():
            faults.append(f"{len(left)} processes were left")
        terminal.close()
        if scenario.run and scenario.ranks == 1:  # mpirun gives its processes only a second to end
            faults += lost_progress(here / scenario.run)
        self.count[name] += 1
        outcome = "; ".join(faults) or "ok"
        print(f"{name}, {method} after {delay:.2f} s: status {status} in {took:.1f} s, {outcome}", flush=True)
        if faults:
            self.faults.append(f"{name}, {method} after {delay:.2f} s: {outcome} ({terminal.out})")
        else:
            shutil.rmtree(here)
        return faults


def ending_faults(scenario: Scenario, terminal: Terminal, status: int, expected: signal.Signals | None) -> list[str]:
    """Return what is wrong with how a process ended. A signal that arrives before any of ganzoo's code runs kills
    Python: the status is then -signal, which a shell shows as 128 + signal. A process that ended before the signal must
    have status 0."""
    faults = []
    screen = terminal.output()
    allowed = {0} if expected is None else {0, 128 + expected, -expected}
    if scenario.ranks > 1:
        allowed |= {1, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGKILL}  # mpirun's own exit statuses
    if status not in allowed:
        faults.append(f"its exit status is {status}")
    if found := forbidden_output(screen):
        faults.append(f"it shows {found!r}")
    lines = [line.removeprefix("^C") for line in screen.replace("\r", "\n").split("\n")]  # the terminal echoes ^C
    errors = [line for line in lines if line.startswith(("Error", "interrupted:"))]
    if len(errors) > scenario.ranks:
        faults.append(f"it reports {len(errors)} errors")
    if status == 128 + (expected or 0) and terminal.open and len(errors) != 1 and scenario.ranks == 1:
        faults.append("it doesn't say that it was interrupted")
    return faults


def lost_progress(experiments: Path) -> list[str]:
    """Return what a stopped training lost: steps, or checkpoints reported as saved."""
    faults = []
    for run in sorted(experiments.glob("0*")) if experiments.is_dir() else ():
        newest = newest_intact(run)
        images = 0 if newest is None else checkpoint_images(newest)
        if (done := last_stats(run)["images"]) > images:
            faults.append(f"{done} images were trained on, but the newest checkpoint has {images}")
        if lost_saves := [each for each in reported_saves(run) if each > images]:
            faults.append(f"{lost_saves[-1]} was reported as saved, and is lost")
        if unfinished := [path.name for path in run.iterdir() if path.name.startswith(".")]:
            faults.append(f"{unfinished[0]} was left")
    return faults


def schedule(names: list[str], signals: int, rng: random.Random) -> list[tuple[str, str]]:
    """Return pairs of a scenario and a stop method in random order. A scenario's methods are about equally frequent."""
    pairs: list[tuple[str, str]] = []
    for name in names:
        share = max(1, signals // len(names) // RARITY.get(name, 1))
        pairs += [(name, method) for method in (list(STOP_METHODS) * (share // len(STOP_METHODS) + 1))[:share]]
    common = [name for name in names if name not in RARITY] or names
    while len(pairs) < signals:
        pairs.append((rng.choice(common), rng.choice(list(STOP_METHODS))))
    rng.shuffle(pairs)
    return pairs


@click.command(help=__doc__)
@click.argument("scenarios", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option("--signals", default=500, help="Number of commands to stop.")
@click.option(
    "--seed", default=0, help="Random seed of the order of the commands and of the moments at which they are stopped."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
def main(scenarios: tuple[str, ...], signals: int, seed: int, out: Path) -> None:
    out.mkdir(parents=True)
    rng = random.Random(seed)
    names = list(scenarios) or [name for name in SCENARIOS if name != "ranks" or shutil.which("mpirun")]
    trial = Trial(out.resolve(), rng)
    trial.set_up(names)
    for name, method in schedule(names, signals, rng):
        trial.attempt(name, method, rng.uniform(0, SCENARIOS[name].seconds))
    lines = [[name, str(trial.count[name]), f"{trial.slowest[name]:.1f} s"] for name in trial.count]
    print(*format_table(["scenario", "signals", "slowest end"], lines), sep="\n")
    print(f"{sum(trial.count.values())} signals, {len(trial.faults)} faults", *trial.faults, sep="\n")
    sys.exit(bool(trial.faults))


if __name__ == "__main__":
    main()
