"""Is ganzoo faster than PyTorch? One training iteration of each model, both sides taking turns.

    python experiments/bench/run.py                        # all rows, about 20 minutes on 2 cores
    python experiments/bench/run.py stylegan-32-8 gan-28-64 --turns 15
    python experiments/bench/run.py --device cuda --precision tf32 --out somewhere    # on a GPU, other sizes

ganzoo runs the step of `ganzoo train`; PyTorch an eager, literal transcription of the authors' iteration, once as it
is and once with channels_last. All three processes stay alive and take turns iteration by iteration, so whatever else
the machine does slows down all of them; while one works the others sleep. The faster of the two PyTorch's counts.

Before a row is measured both sides take one step from the same weights with the same noise, and must find the same
losses. Writes results.json and results.png beside this file, and prints a line for each row; README.md says what they
mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rows import GOALS, ON_CPU, ON_GPU, ROWS, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIDES = ("ganzoo", "torch", "torch-channels-last")
PAUSE = 0.05  # seconds between two turns: threads that have nothing to do go on waiting busily for a while
ALIKE = {"fp32": 1e-3, "tf32": 1e-2, "amp": 5e-2}  # relative difference of losses
BUSY = 3.0  # seconds in which a GPU is watched


class How(NamedTuple):
    """What both sides compute with."""

    threads: int
    device: str = "cpu"
    precision: str = "fp32"


class Side:
    """A child process that does what it is told: see serve.py."""

    def __init__(self, name: str, row: Row, how: How) -> None:
        reader, writer = os.pipe()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": str(how.threads), "PYTHONPATH": path}
        command = [sys.executable, str(HERE / "serve.py"), name, row.name, str(writer)]
        command += [str(how.threads), how.device, how.precision]
        self.began = time.perf_counter()
        self.child = subprocess.Popen(command, stdin=-1, stdout=2, text=True, env=environment, pass_fds=[writer])
        os.close(writer)
        self.answers = os.fdopen(reader)
        self.turns: list[dict[str, float]] = []

    def ask(self, *words: str) -> Any:
        """The answer to a request."""
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(words) + "\n")
        self.child.stdin.flush()
        answer = self.answers.readline()
        if not answer:
            raise click.ClickException(f"a process ended with status {self.child.wait()}")
        return json.loads(answer)

    def iterate(self) -> dict[str, float]:
        time.sleep(PAUSE)
        found: dict[str, float] = self.ask("iterate")
        return found

    def first(self) -> float:
        """Seconds from the start of the process to the end of its first iteration."""
        self.ask("iterate")
        return time.perf_counter() - self.began

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


@contextlib.contextmanager
def opened(row: Row, how: How, *names: str) -> Iterator[list[Side]]:
    """One after the other, so that each has started alone."""
    sides: list[Side] = []
    try:
        for name in names:
            sides.append(Side(name, row, how))
            sides[-1].ask("ready")
        yield sides
    finally:
        for side in sides:
            side.close()


def compare(row: Row, how: How) -> dict[str, list[float]]:
    """Losses of both sides in one step from the same weights with the same noise, by name. ClickException if they are
    not the same."""
    with tempfile.TemporaryDirectory() as folder, opened(row, how, "ganzoo", "torch") as (ours, theirs):
        given = str(Path(folder) / "weights.npz")
        ours.ask("weights", given)
        found, expected = ours.ask("losses"), theirs.ask("losses", given)
    if found.keys() != expected.keys():
        raise click.ClickException(f"{row.name}: losses {sorted(found)} here, {sorted(expected)} there")
    for name, value in expected.items():
        if abs(found[name] - value) > ALIKE[how.precision] * max(1.0, abs(value)):
            raise click.ClickException(f"{row.name}: {name} is {found[name]} here and {value} there")
    return {name: [found[name], expected[name]] for name in found}


def cold_start(row: Row, how: How) -> float:
    """Seconds from the start of the process to the end of its first iteration, without a compiled kernel."""
    with opened(row, how, "ganzoo") as (side,):
        kernels = Path(side.ask("kernels"))
    aside = kernels.with_name(f"{kernels.name}-aside-{os.getpid()}")
    kernels.rename(aside)
    try:
        kernels.mkdir()
        side = Side("ganzoo", row, how)
        try:
            return side.first()
        finally:
            side.close()
    finally:
        shutil.rmtree(kernels)
        aside.rename(kernels)


def measure(row: Row, turns: int, how: How, cold: bool) -> dict[str, Any]:
    """All numbers of a row; with `cold` also the first step without compiled kernels."""
    losses, cold_s = compare(row, how), cold_start(row, how) if cold else None
    sides: dict[str, Side] = {}
    starts: dict[str, float] = {}
    try:
        for name in SIDES:
            sides[name] = Side(name, row, how)
            starts[name] = sides[name].first()
        for side in sides.values():
            side.iterate()
        for _ in range(turns):
            for side in sides.values():
                side.turns.append(side.iterate())
        arithmetic = sides["torch"].ask("arithmetic")
        busy = [sides[name].ask("busy", BUSY) for name in SIDES[:2]]
        peak = max(sides[name].ask("peak") for name in SIDES[:2])
    finally:
        for side in sides.values():
            side.close()
    median = {name: statistics.median(turn["wall"] for turn in side.turns) for name, side in sides.items()}
    theirs = min(SIDES[1:], key=median.__getitem__)
    ours, other = sides["ganzoo"].turns, sides[theirs].turns
    peaks = [max(turn["peak"] for turn in each) for each in (ours, other)]
    return {
        "model": row.model,
        "size": row.size,
        "batch": row.batch,
        "ganzoo_s": median["ganzoo"],
        "torch_s": median[theirs],
        "ratio": median[theirs] / median["ganzoo"],
        "goal": GOALS[how.precision] if how.device == "cuda" else row.goal,
        "device": how.device,
        "precision": how.precision,
        "gpu_busy": busy,
        "torch_layout": "channels_last" if theirs == SIDES[2] else "contiguous",
        "torch_both_s": [median[name] for name in SIDES[1:]],
        "ganzoo_spread_s": spread(ours),
        "torch_spread_s": spread(other),
        "ganzoo_images_per_s": row.batch / median["ganzoo"],
        "torch_images_per_s": row.batch / median[theirs],
        "ganzoo_peak_bytes": peaks[0],
        "torch_peak_bytes": peaks[1],
        "memory_ratio": peaks[0] / peaks[1],
        "ganzoo_cold_start_s": cold_s,
        "ganzoo_warm_start_s": starts["ganzoo"],
        "torch_start_s": starts[theirs],
        "arithmetic_flop": arithmetic,
        "matrix_product_flop_per_s": peak,
        "ganzoo_share": arithmetic / median["ganzoo"] / peak,
        "torch_share": arithmetic / median[theirs] / peak,
        "losses": losses,
        "turns": turns,
        "threads": how.threads,
        "load": os.getloadavg()[0],
    }


def spread(turns: list[dict[str, float]]) -> list[float]:
    """First and third quartile of the times."""
    quarters = statistics.quantiles([turn["wall"] for turn in turns], n=4)
    return [quarters[0], quarters[2]]


def line(found: dict[str, Any]) -> str:
    cold = found["ganzoo_cold_start_s"]
    return (
        f"{found['model']:<9} {found['size']:>4} px  batch {found['batch']:<3} ganzoo {found['ganzoo_s']:8.4f} s  "
        f"PyTorch {found['torch_s']:8.4f} s  ratio {found['ratio']:5.2f} (goal {found['goal']})  "
        f"memory {found['ganzoo_peak_bytes'] / 2**20:,.0f} / {found['torch_peak_bytes'] / 2**20:,.0f} MiB "
        f"= {found['memory_ratio']:.2f}  first step after {found['ganzoo_warm_start_s']:.1f} s"
        f"{'' if cold is None else f', cold {cold:.1f} s'}"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--turns", default=9, help="Iterations of each side that count.")
@click.option("--threads", default=len(os.sched_getaffinity(0)))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--precision", type=click.Choice([*GOALS]), default="tf32", help="On CUDA.")
@click.option("--cold/--no-cold", default=None, help="Also without compiled kernels.  [default: on the CPU]")
@click.option("--out", type=click.Path(path_type=Path), default=HERE)
def main(
    names: tuple[str, ...], turns: int, threads: int, device: str, precision: str, cold: bool | None, out: Path
) -> None:
    """Measure the rows NAMES, or all of the device."""
    how = How(threads, device, precision if device == "cuda" else "fp32")
    if unknown := [name for name in names if name not in ROWS]:
        raise click.UsageError(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    if turns < 2:
        raise click.UsageError("a spread needs two --turns at least")
    cold = device == "cpu" if cold is None else cold
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for name in names or (ON_GPU if device == "cuda" else ON_CPU):
        results.append(measure(ROWS[name], turns, how, cold))
        click.echo(line(results[-1]))
        (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    from picture import draw, table

    draw(results, out / "results.png")
    click.echo(table(results))


if __name__ == "__main__":
    main()
