"""Compiles kernels before the measurements."""

from __future__ import annotations

import time
import traceback

import kit


def kernels(precision: str, *names: str) -> None:
    """Take two steps of each row to compile its kernels."""
    backend = kit.start(precision)
    import ganzoo_side

    for name in names:
        if kit.past_deadline():
            kit.report("kernels", row=name, precision=precision, skipped="late")
            continue
        began = time.perf_counter()
        try:
            side = ganzoo_side.Side(kit.find_row(name), kit.DEVICE, precision)
            with backend.show_compilation(name):
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
