"""Compute metrics of pure noise against a data set. A generator should soon reach better values.

python experiments/results/noise.py mnist --size 28 --channels 1 --samples 5000 --real 10000
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import click
import numpy as np

from ganzoo import backend
from ganzoo.data.catalog import open_data
from ganzoo.metrics.comparison import Comparison, Networks, compare
from ganzoo.metrics.sources import BATCH, DatasetSource, Source
from ganzoo.registry import plugins


class Noise(Source):
    """Images whose pixels are uniform random numbers from 0 to 255."""

    name = "noise"

    def __init__(self, count: int, size: int, channels: int) -> None:
        self.count, self.shape = count, (size, size, channels)

    def batches(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for start in range(0, self.count, BATCH):
            yield rng.integers(0, 256, (min(BATCH, self.count - start), *self.shape), np.uint8)


@click.command()
@click.argument("data")
@click.option("--size", type=int, required=True)
@click.option("--channels", type=int, required=True)
@click.option("--samples", type=int, default=2000)
@click.option("--real", type=int, default=10_000)
@click.option("--domain", type=int)
@click.option("--metrics", default="fid,kid")
def main(data: str, size: int, channels: int, samples: int, real: int, domain: int | None, metrics: str) -> None:
    backend.start("cpu")
    registry = plugins.load()
    dataset = open_data(data, registry)
    info = replace(dataset.info, size=size, channels=channels)
    comparison = Comparison(
        Noise(samples, size, channels), DatasetSource(dataset, info, domain=domain, max_images=real)
    )
    (result,) = compare([comparison], Networks(registry.metrics_named(metrics)))
    click.echo(", ".join(f"{name} {value:.4g}" for name, value in result.numbers.items()))


if __name__ == "__main__":
    main()
