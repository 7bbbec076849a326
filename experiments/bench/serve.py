"""One side of the benchmark, as a process: reads requests from its input, one JSON list a line, and answers each.

    python serve.py SIDE ROW DESCRIPTOR THREADS

["iterate"] is one iteration: its seconds, and the memory so far. ["ready"] says when the networks are made. ["weights",
PATH] saves the weights; ["losses"] takes a step and tells its losses, ["losses", PATH] with the weights of a file.
["arithmetic"] is what an iteration multiplies and adds, ["peak"] how many of these a matrix product does in a second,
and ["kernels"] where compiled kernels are.
"""

from __future__ import annotations

import json
import os
import sys
import time
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
    for _ in range(int(AGAIN / took)):
        side.iterate()
    wall, cpu = time.perf_counter(), time.process_time()
    side.iterate()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak_memory(),
    }


def peak(side: Any) -> float:
    """Of several matrix products the fastest, in operations per second."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        side.product(PRODUCT)
        times.append(time.perf_counter() - began)
    return float(2.0 * PRODUCT**3 / min(times))


def main(name: str, row: str, answers: str, threads: str) -> None:
    side: Any
    if name == "ganzoo":
        import ours

        side = ours.Side(ROWS[row])
    else:
        import theirs
        import torch

        torch.set_num_threads(int(threads))
        side = theirs.Side(ROWS[row], channels_last=name == "torch-channels-last")
    took = float("inf")
    with os.fdopen(int(answers), "w") as file:
        for line in sys.stdin:
            kind, *words = json.loads(line)
            if kind == "iterate":
                answer: Any = timed(side, took)
                took = answer["wall"]
            else:
                answer = {"ready": lambda: True, "peak": lambda: peak(side)}.get(kind) or getattr(side, kind)
                answer = answer(*words)
            print(json.dumps(answer), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
