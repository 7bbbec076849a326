"""Does every command end in order, whatever signal comes, at whatever moment?

    python experiments/trust/endings.py --signals 500 --out endings      # about an hour on two cores
    python experiments/trust/endings.py generate evaluate --signals 50 --out endings

Starts commands in terminals of their own, as a shell does, and ends each at a random moment: by Ctrl-C, by closing the
terminal, and by signals to the process and to its whole group. Each must end within 30 seconds, by the signal's exit
status, with one line and without a traceback, and leave no process behind. A training that had begun must have a
checkpoint of its last step, and none that was reported as saved may be lost.

`compile` starts with an empty HOME, so that Jittor itself is compiled; `kernels` with one in which no kernel is.
Exit status 1 if anything of this failed; what each command showed is in --out.
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
from driving import DATA, TINY, Hung, last_row, newest_whole, number, reported, table, unwanted
from PIL import Image
from terminal import WAYS, Terminal

LIMIT = 30.0  # seconds in which everything must end
SCRIPT = [sys.executable, "-m", "ganzoo"]
TRAINING = "--kimg 100000 --snapshot 1 --keep 2 --device cpu"


@dataclass(frozen=True)
class Scenario:
    """A command, how long it takes at most (a signal comes before that), and what it needs."""

    command: str  # after `ganzoo`
    seconds: float
    run: str = ""  # the folder of the run that it trains
    ranks: int = 1
    home: str = ""  # 'empty', or 'core': with Jittor compiled, and no kernel


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
RARE = {"compile": 20, "kernels": 6}  # each of these takes so many times as long, and is tried less often


class Endings:
    """The folder in which commands are started, and what was seen of them."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest: dict[str, float] = {}

    def set_up(self, names: list[str]) -> None:
        """Pictures, and runs to generate from."""
        generator = np.random.default_rng(0)
        for index in range(600):
            folder = self.root / "pictures" / "ab"[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (300, 300, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
        if {"generate", "animate", "evaluate", "translate"} & {*names}:
            for model in ("gan", "stargan2"):
                options = [*TINY[model], "--kimg", "0.02", "--experiments", "trained"]
                command = [*SCRIPT, "train", model, "--data", DATA[model], *options]
                subprocess.run(command, cwd=self.root, check=True, capture_output=True)

        if any(SCENARIOS[name].home == "core" for name in names):
            command = [sys.executable, "-c", "from ganzoo import backend; backend.start('cpu')"]
            subprocess.run(command, env={**os.environ, **self._home("core", self.root)}, check=True)

    def _home(self, kind: str, here: Path) -> dict[str, str]:
        """What to change in the environment for a HOME of this kind."""
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

    def attempt(self, name: str, way: str, delay: float) -> list[str]:
        """Start a scenario, end it after `delay` seconds, and say what was wrong."""
        scenario = SCENARIOS[name]
        here = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))
        for shared in ("pictures", "trained"):
            (here / shared).symlink_to(self.root / shared)
        command = [*SCRIPT, *scenario.command.split()]
        if scenario.ranks > 1:
            command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", str(scenario.ranks), *command]
        terminal = Terminal(command, here, here / "shown", self._home(scenario.home, here))
        terminal.until(lambda: terminal.seconds > delay)
        act, expected = WAYS[way]
        ended = terminal.ended()
        act(terminal)
        began = time.monotonic()
        status: int | None = None
        try:
            status = terminal.wait(LIMIT)
        except Hung as error:
            wrong = [str(error)]
        else:
            wrong = disorder(scenario, terminal, status, None if ended else expected)
        took = time.monotonic() - began
        self.slowest[name] = max(self.slowest.get(name, 0.0), took)
        if left := terminal.left_over():
            wrong.append(f"{len(left)} processes were left")
        terminal.close()
        if scenario.run and scenario.ranks == 1:  # mpirun gives its processes a second to end
            wrong += lost(here / scenario.run)
        self.count[name] += 1
        told = "; ".join(wrong) or "in order"
        print(f"{name}, {way} after {delay:.2f} s: status {status} in {took:.1f} s, {told}", flush=True)
        if wrong:
            self.faults.append(f"{name}, {way} after {delay:.2f} s: {told} ({terminal.out})")
        else:
            shutil.rmtree(here)
        return wrong


def disorder(scenario: Scenario, terminal: Terminal, status: int, expected: signal.Signals | None) -> list[str]:
    """What is wrong with how a process ended. Python itself, before ganzoo's first line, dies of the signal, which a
    shell shows as the same status; and it may have ended before the signal came."""
    wrong = []
    shown = terminal.output()
    right = {0} if expected is None else {0, 128 + expected, -expected}
    if scenario.ranks > 1:
        right |= {1, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGKILL}  # mpirun has its own ways
    if status not in right:
        wrong.append(f"its exit status is {status}")
    if found := unwanted(shown):
        wrong.append(f"it shows {found!r}")
    lines = [line.removeprefix("^C") for line in shown.replace("\r", "\n").split("\n")]  # a terminal's echo
    errors = [line for line in lines if line.startswith(("Error", "interrupted:"))]
    if len(errors) > scenario.ranks:
        wrong.append(f"it tells {len(errors)} errors")
    if status == 128 + (expected or 0) and terminal.open and len(errors) != 1 and scenario.ranks == 1:
        wrong.append("it doesn't say that it was interrupted")
    return wrong


def lost(experiments: Path) -> list[str]:
    """What a training that was ended lost: its last step, or what it reported as saved."""
    wrong = []
    for run in sorted(experiments.glob("0*")) if experiments.is_dir() else ():
        newest = newest_whole(run)
        images = 0 if newest is None else number(newest)
        if (done := last_row(run)["images"]) > images:
            wrong.append(f"{done} images were trained on, and the newest checkpoint is of {images}")
        if said := [each for each in reported(run) if each > images]:
            wrong.append(f"{said[-1]} was reported as saved, and is lost")
        if unfinished := [path.name for path in run.iterdir() if path.name.startswith(".")]:
            wrong.append(f"{unfinished[0]} was left")
    return wrong


def deck(names: list[str], signals: int, rng: random.Random) -> list[tuple[str, str]]:
    """Which scenario is ended in which way: all in turn, in a random order."""
    cards: list[tuple[str, str]] = []
    for name in names:
        share = max(1, signals // len(names) // RARE.get(name, 1))
        cards += [(name, way) for way in (list(WAYS) * (share // len(WAYS) + 1))[:share]]
    common = [name for name in names if name not in RARE] or names
    while len(cards) < signals:
        cards.append((rng.choice(common), rng.choice(list(WAYS))))
    rng.shuffle(cards)
    return cards


@click.command(help=__doc__)
@click.argument("scenarios", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option("--signals", default=500, help="How many commands are ended.")
@click.option("--seed", default=0, help="Of the moments and their order.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
def main(scenarios: tuple[str, ...], signals: int, seed: int, out: Path) -> None:
    out.mkdir(parents=True)
    rng = random.Random(seed)
    names = list(scenarios) or [name for name in SCENARIOS if name != "ranks" or shutil.which("mpirun")]
    endings = Endings(out.resolve(), rng)
    endings.set_up(names)
    for name, way in deck(names, signals, rng):
        endings.attempt(name, way, rng.uniform(0, SCENARIOS[name].seconds))
    lines = [[name, str(endings.count[name]), f"{endings.slowest[name]:.1f} s"] for name in endings.count]
    print(*table(["scenario", "signals", "slowest end"], lines), sep="\n")
    print(f"{sum(endings.count.values())} signals, {len(endings.faults)} faults", *endings.faults, sep="\n")
    sys.exit(bool(endings.faults))


if __name__ == "__main__":
    main()
