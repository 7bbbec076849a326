"""Is ganzoo faster than PyTorch? One training iteration of each model, both sides taking turns.

    python experiments/bench/run.py                        # all rows, about half an hour on 2 cores
    python experiments/bench/run.py stylegan-32-8 gan-28-64 --turns 15

ganzoo runs the step of `ganzoo train`; PyTorch an eager, literal transcription of the authors' iteration, once as it
is and once with channels_last. All three processes stay alive and take turns iteration by iteration, so whatever else
the machine does slows down all of them; while one works the others sleep. The faster of the two PyTorch's counts.

Writes results.json beside this file and prints a line for each row; see README.md for what they mean.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rows import ROWS, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIDES = ("ganzoo", "torch", "torch-channels-last")
AGAIN = 0.1  # seconds of iterations that don't count when a turn begins: caches and threads as they are in training
PAUSE = 0.05  # seconds between two turns: threads that have nothing to do go on waiting busily for a while


def serve(side: str, row: Row, threads: int) -> None:
    """Child: an iteration for each line of input, its seconds as a line of output; first of all that it is ready."""
    iterate: Callable[[], None]
    if side == "ganzoo":
        import ours

        iterate = ours.prepare(row)
    else:
        import theirs
        import torch

        torch.set_num_threads(threads)
        iterate = theirs.prepare(row, side == "torch-channels-last")
    answers = os.fdopen(int(os.environ["BENCH_ANSWERS"]), "w")
    took = float("inf")
    for _ in sys.stdin:
        for _ in range(int(AGAIN / took)):
            iterate()
        wall, cpu = time.perf_counter(), time.process_time()
        iterate()
        took = time.perf_counter() - wall
        found = {"wall": took, "cpu": time.process_time() - cpu, "peak": peak_memory()}
        print(json.dumps(found), file=answers, flush=True)


def peak_memory() -> int:
    """Bytes, the most that were resident since the process began."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Side:
    """A child process that iterates when it is told to."""

    def __init__(self, name: str, row: Row, threads: int) -> None:
        reader, writer = os.pipe()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        environment["BENCH_ANSWERS"] = str(writer)
        command = [sys.executable, __file__, row.name, "--as", name, "--threads", str(threads)]
        self.child = subprocess.Popen(command, stdin=-1, stdout=2, text=True, env=environment, pass_fds=[writer])
        os.close(writer)
        self.answers = os.fdopen(reader)
        self.turns: list[dict[str, float]] = []

    def iterate(self) -> dict[str, float]:
        assert self.child.stdin is not None
        time.sleep(PAUSE)
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        answer = self.answers.readline()
        if not answer:
            raise click.ClickException(f"a process ended with status {self.child.wait()}")
        found: dict[str, float] = json.loads(answer)
        return found

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


def measure(row: Row, turns: int, threads: int) -> dict[str, Any]:
    """All numbers of a row."""
    sides = {name: Side(name, row, threads) for name in SIDES}
    try:
        firsts = {name: side.iterate()["wall"] for name, side in sides.items()}
        for side in sides.values():
            side.iterate()
        for _ in range(turns):
            for side in sides.values():
                side.turns.append(side.iterate())
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
        "goal": row.goal,
        "torch_layout": "channels_last" if theirs == SIDES[2] else "contiguous",
        "torch_both_s": [median[name] for name in SIDES[1:]],
        "ganzoo_spread_s": spread(ours),
        "torch_spread_s": spread(other),
        "ganzoo_images_per_s": row.batch / median["ganzoo"],
        "torch_images_per_s": row.batch / median[theirs],
        "ganzoo_peak_bytes": peaks[0],
        "torch_peak_bytes": peaks[1],
        "memory_ratio": peaks[0] / peaks[1],
        "ganzoo_first_s": firsts["ganzoo"],
        "turns": turns,
        "threads": threads,
        "load": os.getloadavg()[0],
    }


def spread(turns: list[dict[str, float]]) -> list[float]:
    """First and third quartile of the times."""
    quarters = statistics.quantiles([turn["wall"] for turn in turns], n=4)
    return [quarters[0], quarters[2]]


def line(found: dict[str, Any]) -> str:
    return (
        f"{found['model']:<9} {found['size']:>4} px  batch {found['batch']:<3} ganzoo {found['ganzoo_s']:8.4f} s  "
        f"PyTorch {found['torch_s']:8.4f} s  ratio {found['ratio']:5.2f} (goal {found['goal']})  "
        f"memory {found['ganzoo_peak_bytes'] / 2**20:,.0f} / {found['torch_peak_bytes'] / 2**20:,.0f} MiB "
        f"= {found['memory_ratio']:.2f}"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--turns", default=9, help="Iterations of each side that count.")
@click.option("--threads", default=len(os.sched_getaffinity(0)))
@click.option("--out", type=click.Path(path_type=Path), default=HERE)
@click.option("--as", "side", hidden=True)
def main(names: tuple[str, ...], turns: int, threads: int, out: Path, side: str | None) -> None:
    """Measure the rows NAMES, or all of them."""
    if unknown := [name for name in names if name not in ROWS]:
        raise click.UsageError(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    if side:
        serve(side, ROWS[names[0]], threads)
        return
    results = []
    for name in names or ROWS:
        results.append(measure(ROWS[name], turns, threads))
        click.echo(line(results[-1]))
        (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
