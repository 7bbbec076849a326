"""Runs one side of the benchmark as a process, which reads requests from stdin, one JSON list per line.

    python serve.py SIDE ROW DESCRIPTOR THREADS DEVICE PRECISION

Requests, and the answers that are written to the file DESCRIPTOR:
  ["ready"]                      true, once the networks are built
  ["iterate"]                    wall and CPU seconds of an iteration, and peak memory in bytes so far
  ["save_weights", PATH]         null (ganzoo only)
  ["losses", SEED]               losses of one step (ganzoo)
  ["losses", SEED, PATH]         losses of one step with the weights of a file (PyTorch)
  ["gpu_utilisation", SECONDS]   share of that time in which the GPU is working
  ["work"]                       additions and multiplications of an iteration, and bytes that it moves (PyTorch only)
  ["matmul_flop_per_s"]          operations per second of a matrix product
  ["copy_bytes_per_s"]           bytes read and written per second (PyTorch only)
  ["kernel_folder"]              folder of the compiled kernels (ganzoo only)
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

WARM_UP_SECONDS = 0.1  # time for untimed iterations before a turn, so that caches and threads are as in training
MATRIX_SIZE = 3000  # rows and columns of the matrices that are multiplied
ARRAY_SIZE = 1 << 29  # bytes of the array that is copied, more than any cache holds


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def timed_iteration(side: Any, last_seconds: float) -> dict[str, float]:
    """Time an iteration after a warm-up; `last_seconds` is the time of the previous one."""
    repeats = int(WARM_UP_SECONDS / last_seconds)
    for _ in range(repeats):
        side.iterate()
    side.wait()
    on_gpu = side.gpu_memory() > 0
    count = max(1, repeats) if on_gpu else 1  # on a GPU several, so that the host runs ahead as in training
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        side.iterate()
    side.wait()
    return {
        "wall": (time.perf_counter() - wall) / count,
        "cpu": (time.process_time() - cpu) / count,
        "peak": side.gpu_memory() if on_gpu else peak_memory(),
    }


def ready(side: Any) -> bool:
    """Return once the side has been built."""
    return True


def gpu_utilisation(side: Any, seconds: float) -> float | None:
    """Return the driver's utilisation of the GPU while iterations run; None without a GPU."""
    if not side.gpu_memory():
        return None
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        deadline = time.perf_counter() + float(seconds)
        while time.perf_counter() < deadline:
            side.iterate()
        side.wait()
        watcher.terminate()
        readings = [float(line) for line in watcher.communicate()[0].split()]
    return statistics.mean(readings) / 100 if readings else None


def matmul_flop_per_s(side: Any) -> float:
    """Return the operations per second of the fastest of several matrix products."""
    return 2.0 * MATRIX_SIZE**3 / _fastest(side, partial(side.matmul, MATRIX_SIZE))


def copy_bytes_per_s(side: Any) -> float:
    """Return the bytes read and written per second by the fastest of several copies."""
    return 2.0 * ARRAY_SIZE / _fastest(side, partial(side.copy, ARRAY_SIZE))


def _fastest(side: Any, work: Any) -> float:
    times = []
    for _ in range(6):
        began = time.perf_counter()
        work()
        side.wait()
        times.append(time.perf_counter() - began)
    return min(times)


def main(name: str, row: str, answers: str, threads: str, device: str, precision: str) -> None:
    side: Any
    if name == "ganzoo":
        import ganzoo_side

        side = ganzoo_side.Side(ROWS[row], device, precision)
    else:
        import torch
        import torch_side

        torch.set_num_threads(int(threads))
        side = torch_side.Side(ROWS[row], name == "torch-channels-last", device, precision)
    last_seconds = float("inf")
    with os.fdopen(int(answers), "w") as file:
        for line in sys.stdin:
            kind, *words = json.loads(line)
            if kind == "iterate":
                answer: Any = timed_iteration(side, last_seconds)
                last_seconds = answer["wall"]
            else:
                functions = (ready, gpu_utilisation, matmul_flop_per_s, copy_bytes_per_s)
                own = {each.__name__: partial(each, side) for each in functions}
                answer = (own.get(kind) or getattr(side, kind))(*words)
            print(json.dumps(answer), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
