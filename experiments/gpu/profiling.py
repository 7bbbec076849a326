"""Profiles a step with Jittor's profiler."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import kit
from jobs import JOBS

STEPS = 5  # steps whose times are averaged
TOP = 14  # kernels in results.jsonl; profile-ROW-PRECISION.txt has all (with flags: profile-ROW-PRECISION-FLAGS.txt)


def profile(precision: str = kit.DEFAULT_PRECISION) -> None:
    """Profile each row. The profiler waits for the GPU after every kernel, so times include launches."""
    backend = kit.start(precision)
    for name in JOBS.profile:
        if kit.past_deadline():
            kit.report("profile", row=name, precision=precision, skipped="late")
            continue
        try:
            profile_row(backend.jittor(), name, precision)
        except Exception as error:
            kit.report("profile", row=name, error=repr(error)[:800], trace=traceback.format_exc()[-800:])


def profile_row(jt: Any, name: str, precision: str) -> None:
    import ganzoo_side

    side = ganzoo_side.Side(kit.find_row(name), kit.DEVICE, precision)
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
    text = head + "".join(kernel_lines(kernel, total) for kernel in kernels)
    file = "-".join(filter(None, ("profile", name, precision, kit.FLAGS.replace("=", "-"))))
    (kit.WORK / "log" / f"{file}.txt").write_text(text)
    kit.report(
        "profile",
        row=name,
        precision=precision,
        flags=kit.FLAGS,
        wall_ms=wall * 1e3,
        host_ms=host * 1e3,
        kernels_ms=total,
        launches=sum(int(kernel["Count"]) for kernel in kernels),
        top=[[float(kernel["TotalTime"]) / 1e6, kernel["Count"], kernel["Name"][:90]] for kernel in kernels[:TOP]],
    )


def kernel_lines(kernel: dict[str, str], total: float) -> str:
    """Return a kernel's line of numbers and the line with its source file."""
    ms = float(kernel["TotalTime"]) / 1e6
    speeds = f"{float(kernel['InOut']) / 1e9:8.1f} GB/s {float(kernel['Compute']) / 1e9:9.1f} GFLOP/s"
    line = f"{ms:9.3f} ms {ms / total:6.1%} x{kernel['Count']:>4} {speeds} {kernel['Name'][:400]}"
    return f"{line}\n      {Path(kernel['FileName']).name}\n"
