"""Draw generated images beside the training images that are nearest to them. Equal pairs would mean that the model has
memorised its training set.

    python experiments/results/neighbours.py RUN --seeds 0-7 --out neighbours.png

Nearest means by Euclidean distance between the features that `ganzoo evaluate` uses for FID. In each row, the first
image is generated and the others are its neighbours, from the nearest on. Also prints how far generated images are from
their nearest training image, and how far training images are from theirs (medians).
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import ganzoo
from ganzoo.data.alpha import over_white
from ganzoo.data.catalog import open_data
from ganzoo.errors import GanzooError
from ganzoo.metrics.comparison import Networks
from ganzoo.metrics.evaluation import Evaluation
from ganzoo.metrics.sources import DatasetSource
from ganzoo.registry import plugins
from ganzoo.sampling import image_files

GAP = 4  # px between the generated images and their neighbours


def nearest(rows: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices (N, count) of the rows of `others` that are nearest to each row of `rows`, nearest first, and
    their distances."""
    rows, others = rows.astype(np.float64), others.astype(np.float64)
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    order = np.argsort(squares, 1)[:, :count]
    return order, np.sqrt(np.maximum(np.take_along_axis(squares, order, 1), 0))


def sheet(images: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return one picture (H, W, C) of images (N, h, w, C) and their neighbours (N, count, h, w, C): a row for each."""
    left = np.concatenate(list(images))
    right = np.concatenate([np.concatenate(list(row), 1) for row in neighbours])
    return np.concatenate([left, np.full((len(left), GAP, left.shape[2]), 255, np.uint8), right], 1)


@click.command()
@click.argument("run")
@click.option("--seeds", default="0-7", help="Generated images to look for.")
@click.option("--count", default=6, help="Neighbours of each.")
@click.option("--real", "max_real", default=10_000, help="Training images to search, at most.")
@click.option("--data", help="Training images, if they are not those that the run names.")
@click.option("--experiments", default="experiments", help="Folder of the runs.")
@click.option("--out", default="neighbours.png", type=click.Path(path_type=Path))
def main(run: str, seeds: str, count: int, max_real: int, data: str | None, experiments: str, out: Path) -> None:
    try:
        draw(run, seeds, count, max_real, data, experiments, out)
    except GanzooError as error:
        raise click.ClickException(str(error)) from None


def draw(run: str, seeds: str, count: int, max_real: int, data: str | None, experiments: str, out: Path) -> None:
    registry = plugins.load()
    loaded = ganzoo.load(run, experiments=experiments)
    generated = over_white(np.asarray(loaded.generate(seeds)))
    networks = Networks(registry.metrics_named("fid"))
    networks.open()
    assert networks.features is not None  # fid needs them
    dataset = open_data(data or loaded.options.get("data") or loaded.data.name, registry)
    real = DatasetSource(dataset, loaded.data, max_images=max_real)
    training = Evaluation(real, real, networks.features)  # its cache of features is that of `ganzoo evaluate`
    rows = training.real_features.rows
    found, distances = nearest(np.concatenate(list(networks.features.stream([generated]))), rows, count)
    _, among = nearest(rows[:1000], rows, 2)
    images = np.concatenate(list(training.real_images()))
    image_files.save(out, sheet(generated, images[found]))
    click.echo(f"median distance to the nearest of {len(rows):,} training images: {np.median(distances[:, 0]):.3g}")
    click.echo(f"the same of training images: {np.median(among[:, 1]):.3g}")
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
