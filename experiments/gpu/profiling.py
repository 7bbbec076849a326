"""Where a step's time goes, by Jittor's profiler."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import kit
from jobs import JOBS

STEPS = 5  # of which the mean is taken
TOP = 14  # kernels that are told in results.jsonl; all are in profile-ROW.txt


def profile(precision: str = kit.PRECISE) -> None:
    """Profile each row. The profiler waits for the GPU after every kernel, so launches count too."""
    backend = kit.start(precision)
    for name in JOBS.profile:
        if kit.late():
            kit.report("profile", row=name, precision=precision, skipped="late")
            continue
        try:
            one(backend.jittor(), name, precision)
        except Exception as error:
            kit.report("profile", row=name, error=repr(error)[:800], trace=traceback.format_exc()[-800:])


def one(jt: Any, name: str, precision: str) -> None:
    import ours

    side = ours.Side(kit.row(name), kit.DEVICE, precision)
    for _ in range(3):
        side.iterate()
    side.wait()
    began = time.perf_counter()
    for _ in range(STEPS):
        side.iterate()
    host = (time.perf_counter() - began) / STEPS
    side.wait()
    wall = (time.perf_counter() - began) / STEPS
    with jt.profile_scope() as table:
        side.iterate()
        side.wait()
    kernels = [dict(zip(table[0], row)) for row in table[1:] if row[0].strip().lower() != "total"]
    kernels.sort(key=lambda kernel: -float(kernel["TotalTime"]))
    total = sum(float(kernel["TotalTime"]) for kernel in kernels) / 1e6
    head = f"{name} {precision}: step {wall * 1e3:.2f} ms, host {host * 1e3:.2f} ms, sum of kernels {total:.2f} ms\n"
    text = head + "".join(described(kernel, total) for kernel in kernels)
    (kit.WORK / "log" / f"profile-{name}-{precision}.txt").write_text(text)
    kit.report(
        "profile",
        row=name,
        precision=precision,
        wall_ms=wall * 1e3,
        host_ms=host * 1e3,
        kernels_ms=total,
        launches=sum(int(kernel["Count"]) for kernel in kernels),
        top=[[float(kernel["TotalTime"]) / 1e6, kernel["Count"], kernel["Name"][:90]] for kernel in kernels[:TOP]],
    )


def described(kernel: dict[str, str], total: float) -> str:
    """A kernel's line, and that of its source."""
    ms = float(kernel["TotalTime"]) / 1e6
    speeds = f"{float(kernel['InOut']) / 1e9:8.1f} GB/s {float(kernel['Compute']) / 1e9:9.1f} GFLOP/s"
    line = f"{ms:9.3f} ms {ms / total:6.1%} x{kernel['Count']:>4} {speeds} {kernel['Name'][:400]}"
    return f"{line}\n      {Path(kernel['FileName']).name}\n"
