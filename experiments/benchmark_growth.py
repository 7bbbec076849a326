"""Measures how long training stalls when StyleGAN grows: compares each stage's first step with the stage's median.

    python experiments/benchmark_growth.py --data symbols --batch 16 --channels-max 64

Trains a few steps in every stage from 8 px on, after precompiling the kernels of later stages as in a real run. If HOME
is an empty folder, so that no kernel is cached, the printed number of kernels is what all stages together need.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import click

from ganzoo import TrainOptions, backend
from ganzoo.backend import environment
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.progress import Progress
from ganzoo.registry import plugins
from ganzoo.training.feed import Feed
from ganzoo.training.plan import make_plan
from ganzoo.training.precompile import Precompiler, later_positions


def count_kernels() -> int:
    """Return the number of compiled kernels in Jittor's cache."""
    return sum(1 for path in environment.cache_dir().rglob("*.so") if path.parent.name == "jit")


@click.command()
@click.option("--data", default="symbols")
@click.option("--batch", default=16)
@click.option("--steps", default=9, help="Steps per stage, and as many per fade.")
@click.option("--max-size", default=128)
@click.option("--channels-max", default=64)
@click.option("--loss", default="r1")
def main(data: str, batch: int, steps: int, max_size: int, channels_max: int, loss: str) -> None:
    registry = plugins.load()
    model = registry.model("stylegan")
    width = {"channels_max": channels_max, "channels_base": 16 * channels_max, "latent": channels_max}
    options = resolve(model.options, {"max_size": max_size, "loss": loss, "mixing": True, **width})
    plan = make_plan(model, resolve(TrainOptions, {"data": data, "batch": batch}, model.defaults), options, registry)
    backend.start("cpu")
    from ganzoo.training.step import Step

    before = count_kernels()
    state = plan.initial_state()
    feed = Feed(plan.dataset, plan.train, plan.data.channels, plan.flip)
    step = Step(state, 0, None, lambda *_: None)
    precompiler = Precompiler(plan, print)
    for start_of_stage in [Progress(), *later_positions(state.schedule, Progress())]:
        state.progress = dataclasses.replace(start_of_stage, step=state.progress.step, images=state.progress.images)
        position = state.upcoming()
        times = []
        for _ in range(steps):
            # Stay at the start of the stage or of its fade-in, however many steps are taken.
            state.progress = dataclasses.replace(state.progress, stage_images=start_of_stage.stage_images)
            started_at = time.perf_counter()
            step(feed.batch(position.stage.size, batch, state.progress.images))
            backend.wait()
            times.append(time.perf_counter() - started_at)
            state.progress = state.progress.after(batch)
        if start_of_stage == Progress():
            precompiler.start(state)
            precompiler.wait(3600)
        median = statistics.median(times[1:])
        label = f"{position.stage.size:>4} px{', fading in' if position.fading else ''}"
        print(f"{label:<20} first {times[0]:7.3f} s   median {median:7.3f} s   ratio {times[0] / median:5.2f}")
    feed.close()
    print(f"{count_kernels() - before} kernels compiled, {count_kernels()} in the cache")


if __name__ == "__main__":
    main()
