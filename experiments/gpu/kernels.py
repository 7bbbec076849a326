"""Compiles the kernels of rows of the benchmark before they are measured, so that no measurement includes compiling."""

from __future__ import annotations

import time
import traceback

import kit


def kernels(precision: str, *names: str) -> None:
    """Take two steps of each row (MODEL-SIZE-BATCH) in this process, and report how long both took: the first includes
    compiling the kernels."""
    backend = kit.start(precision)
    import ganzoo_side  # in experiments/bench; imported here because it needs Jittor to be started

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
                # Convolutions that Jittor runs as slow loops instead of calling a library.
                slow_convolutions=backend.unrecognised_convolutions(),
                gpu_memory=side.gpu_memory(),
                losses=side.loss_stats.fetch().losses,
            )
            del side
        except Exception as error:
            kit.report("kernels", row=name, error=repr(error)[:1500], trace=traceback.format_exc()[-1500:])
