"""One side of the benchmark, as a process: reads requests from its input, one JSON list a line, and answers each.

    python serve.py SIDE ROW DESCRIPTOR THREADS DEVICE PRECISION

["iterate"] is one iteration: its seconds, and the memory so far. ["ready"] says when the networks are made. ["weights",
PATH] saves the weights; ["losses"] takes a step and tells its losses, ["losses", PATH] with the weights of a file.
["busy", SECONDS] is the share of such a time in which the GPU is working.
["arithmetic"] is what an iteration multiplies and adds, ["peak"] how many of these a matrix product does in a second,
and ["kernels"] where compiled kernels are.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from rows import ROWS

AGAIN = 0.1  # seconds of iterations that don't count when a turn begins: caches and threads as they are in training
PRODUCT = 3000  # rows and columns of the matrices whose product is timed


def peak_memory() -> int:
    """Bytes, the most that were resident since the process began."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def timed(side: Any, took: float) -> dict[str, float]:
    """An iteration, after others that bring caches and threads to where they are in training."""
    again = int(AGAIN / took)
    for _ in range(again):
        side.iterate()
    side.wait()
    on_gpu = side.gpu_memory() > 0
    count = max(1, again) if on_gpu else 1  # the host runs ahead of a GPU, in training too
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        side.iterate()
    side.wait()
    return {
        "wall": (time.perf_counter() - wall) / count,
        "cpu": (time.process_time() - cpu) / count,
        "peak": side.gpu_memory() if on_gpu else peak_memory(),
    }


def busy(side: Any, seconds: float) -> float | None:
    """What the driver says of the GPU while iterations run; None without one."""
    if not side.gpu_memory():
        return None
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        until = time.perf_counter() + float(seconds)
        while time.perf_counter() < until:
            side.iterate()
        side.wait()
        watcher.terminate()
        said = [float(line) for line in watcher.communicate()[0].split()]
    return statistics.mean(said) / 100 if said else None


def peak(side: Any) -> float:
    """Of several matrix products the fastest, in operations per second."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        side.product(PRODUCT)
        side.wait()
        times.append(time.perf_counter() - began)
    return float(2.0 * PRODUCT**3 / min(times))


def main(name: str, row: str, answers: str, threads: str, device: str, precision: str) -> None:
    side: Any
    if name == "ganzoo":
        import ours

        side = ours.Side(ROWS[row], device, precision)
    else:
        import theirs
        import torch

        torch.set_num_threads(int(threads))
        side = theirs.Side(ROWS[row], name == "torch-channels-last", device, precision)
    took = float("inf")
    with os.fdopen(int(answers), "w") as file:
        for line in sys.stdin:
            kind, *words = json.loads(line)
            if kind == "iterate":
                answer: Any = timed(side, took)
                took = answer["wall"]
            else:
                own = {"ready": lambda: True, "peak": partial(peak, side), "busy": partial(busy, side)}
                answer = (own.get(kind) or getattr(side, kind))(*words)
            print(json.dumps(answer), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
