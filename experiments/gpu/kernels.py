"""Compiles kernels ahead of the measurements."""

from __future__ import annotations

import time
import traceback

import kit


def kernels(precision: str, *names: str) -> None:
    """Take two steps of each row, so that its kernels are compiled."""
    backend = kit.start(precision)
    import ours

    for name in names:
        if kit.late():
            kit.report("kernels", row=name, precision=precision, skipped="late")
            continue
        began = time.perf_counter()
        try:
            side = ours.Side(kit.row(name), kit.DEVICE, precision)
            with backend.watch_kernels(name):
                side.iterate()
                side.wait()
            first = time.perf_counter() - began
            again = time.perf_counter()
            side.iterate()
            side.wait()
            kit.report(
                "kernels",
                row=name,
                precision=precision,
                first_s=first,
                second_s=time.perf_counter() - again,
                slow_convolutions=backend.unrecognised_convolutions(),
                gpu_memory=side.gpu_memory(),
                losses=side.loss_stats.fetch().losses,
            )
            del side
        except Exception as error:
            kit.report("kernels", row=name, error=repr(error)[:1500], trace=traceback.format_exc()[-1500:])
