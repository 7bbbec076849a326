"""Time of one full iteration of StarGAN v2 (four updates and the averages), ours beside a literal one in PyTorch.

    python experiments/benchmark_stargan2.py

At 64 px, batch 2, full width, three domains, no high-pass skips, unless told otherwise; in float32, on the CPU, with as
many threads on both sides. Ours runs as in training, through ganzoo.training.step.Step, on random images that are in
memory already. The other is tests/reference/stargan2_steps.py in a child process: it follows the authors' order of
computation and shares nothing between the updates, as theirs does. They take turns within one run, some iterations
each, so that whatever else the machine does slows down both; while one works the other waits. The first turn of each
is shown apart: ours compiles its kernels in it, if they are not in Jittor's cache.

Prints the medians of the other turns in seconds of wall time and of CPU time (all threads of the process together),
and the ratio of ours to PyTorch's, below 1 where ours is faster. Both stay in memory: up to 3 GB each at full width.

The machine should do nothing else. Where it does, PyTorch's threads wait for each other, busily, so both of its times
grow and the ratio flatters us; the CPU times with --threads 1 are then the ones to believe.
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
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DOMAINS, LATENT = ("a", "b", "c"), 16
Times = list[tuple[float, float]]  # wall and CPU seconds of each iteration


def timed(iterate: Callable[[], None], count: int) -> Times:
    times = []
    for _ in range(count):
        wall, cpu = time.perf_counter(), time.process_time()
        iterate()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def drawn(size: int, batch: int) -> dict[str, np.ndarray]:
    """One batch: uint8 images (batch, size, size, 3), source and target domains."""
    rng = np.random.default_rng(1)
    found = {name: rng.integers(0, 256, (batch, size, size, 3), np.uint8) for name in ("x", "reference", "reference2")}
    return {**found, **{name: rng.integers(0, len(DOMAINS), batch) for name in ("y", "target")}}


def ours(size: int, batch: int, base: int, most: int) -> Callable[[], None]:
    from ganzoo_stargan2 import StarGAN2, StarGAN2Options

    from ganzoo import DataInfo, TrainOptions, backend
    from ganzoo.data.loader import ImageBatch
    from ganzoo.training.state import TrainState
    from ganzoo.training.step import Step

    backend.start("cpu")
    model, data = StarGAN2(), DataInfo("drawn", batch, size, 3, domains=DOMAINS)
    options = model.settled(StarGAN2Options(size=size, channels_base=base, channels_max=most), data)
    state = TrainState(model, options, data, TrainOptions(batch=batch))
    step = Step(state, 0, None, lambda *_: None)
    given = drawn(size, batch)
    references = np.stack([given["reference"], given["reference2"]])
    images = ImageBatch(given["x"], given["y"], references, given["target"])

    def iterate() -> None:
        step(images)
        backend.wait()
        state.progress = state.progress.after(batch)

    return iterate


def theirs(size: int, batch: int, base: int, most: int, threads: int) -> Callable[[], None]:
    import torch

    from tests.reference.stargan2 import Plan
    from tests.reference.stargan2_steps import Data, Training

    torch.set_num_threads(threads)
    plan = Plan(size, domains=len(DOMAINS), max_channels=most, base=base)
    training = Training(plan, {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0})
    given = drawn(size, batch)

    def iterate() -> None:
        found: dict[str, Any] = {name: torch.from_numpy(value) for name, value in given.items()}
        for name in ("x", "reference", "reference2"):
            found[name] = found[name].permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1.0
        latents = {name: torch.randn(batch, LATENT) for name in ("z", "z2")}
        training.iteration(Data.of({**found, **latents}, masked=False))

    return iterate


def answer(iterate: Callable[[], None]) -> None:
    """Serve the parent: a number of iterations in, their times out."""
    for line in sys.stdin:
        print(json.dumps(timed(iterate, int(line))), flush=True)


def ask(child: subprocess.Popen[str], count: int) -> Times:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{count}\n")
    child.stdin.flush()
    return [(wall, cpu) for wall, cpu in json.loads(child.stdout.readline())]


def show(name: str, first: Times, times: Times) -> tuple[float, float]:
    wall, cpu = (statistics.median(column) for column in zip(*times))
    print(f"{name:<8} first {first[0][0]:8.2f} s   median {wall:8.2f} s wall {cpu:8.2f} s CPU   of {len(times)}")
    return wall, cpu


@click.command()
@click.option("--size", default=64)
@click.option("--batch", default=2)
@click.option("--channels-base", "base", default=2**14)
@click.option("--channels-max", "most", default=512)
@click.option("--rounds", default=5, help="Turns of each, after the first.")
@click.option("--iterations", default=2, help="Iterations per turn.")
@click.option("--threads", default=os.cpu_count() or 1)
@click.option("--as-reference", is_flag=True, hidden=True)
def main(
    size: int, batch: int, base: int, most: int, rounds: int, iterations: int, threads: int, as_reference: bool
) -> None:
    if as_reference:
        answer(theirs(size, batch, base, most, threads))
        return
    os.environ["OMP_NUM_THREADS"] = str(threads)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, *sys.argv[1:], "--as-reference"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as child:
        iterate = ours(size, batch, base, most)
        first = timed(iterate, 1), ask(child, 1)
        times: tuple[Times, Times] = ([], [])
        for number in range(rounds):
            times[0].extend(timed(iterate, iterations))
            times[1].extend(ask(child, iterations))
            print(f"round {number + 1}: {times[0][-1][0]:.2f} s, {times[1][-1][0]:.2f} s", file=sys.stderr)
        child.stdin.close()  # type: ignore[union-attr]
    load = f"load of the machine {os.getloadavg()[0]:.1f}"
    print(f"one iteration at {size} px, batch {batch}, {threads} threads on {os.cpu_count()} cores, {load}")
    medians = show("ganzoo", first[0], times[0]), show("PyTorch", first[1], times[1])
    print(f"ratio    {medians[0][0] / medians[1][0]:.2f} wall, {medians[0][1] / medians[1][1]:.2f} CPU")


if __name__ == "__main__":
    main()
