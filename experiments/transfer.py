"""Few images, from trained weights or from scratch: FID over kimg of three trainings on one style of `avatars`.

    python experiments/transfer.py --style voxel-art --images 300 --freeze-d 2

Trains a model on the other five styles, and then, on a few images of the style, three runs of equal length: from
scratch, with the weights of that model (`--from`), and with its first discriminator blocks frozen (`--freeze-d`).
Prints their FIDs against all images of the style, and draws them with samples of each in transfer.png. With `--source`,
the first training is skipped. Everything is written to one folder; the runs are those of `ganzoo runs --experiments
FOLDER`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import matplotlib
import numpy as np

import ganzoo
from ganzoo.checkpoints import checkpoint
from ganzoo.interfaces.options import options_by_name
from ganzoo.registry import plugins

DATA = "avatars"
ROWS, COLUMNS = 2, 10  # of images in the picture
MAX_REAL = 100_000  # more than there are of any style


def write_data(folder: Path, style: str, count: int, size: int) -> dict[str, Path]:
    """Write arrays of the style's images, of the first `count` of them, and of all other styles' images. Return their
    paths by what they are: 'style', 'few' and 'others'."""
    dataset = plugins.load().dataset(DATA).open().at_size(size)
    labels, index = dataset.labels(), dataset.info.domains.index(style)
    chosen = np.flatnonzero(labels == index)
    parts = {
        "style": (f"avatars-{style}", chosen),
        "few": (f"avatars-{style}-{count}", chosen[:count]),
        "others": (f"avatars-without-{style}", np.flatnonzero(labels != index)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {part: folder / f"{name}.npy" for part, (name, _) in parts.items()}
    for part, (_, numbers) in parts.items():
        np.save(paths[part], np.stack([dataset.load(int(number), size)[0] for number in numbers]))
    return paths


def fids(run: Path, real: Path, samples: int) -> dict[float, float]:
    """Return the FID at each checkpoint of a run, by kimg."""
    found = {}
    for path in checkpoint.list_checkpoints(run):
        loaded = ganzoo.load(path)
        found[loaded.kimg] = loaded.evaluate("fid", samples=samples, real=MAX_REAL, against=real)["fid"]
    return found


def draw(path: Path, curves: dict[str, dict[float, float]], images: dict[str, np.ndarray], title: str) -> None:
    """Plot the FIDs, and below them some images of each kind, uint8 (ROWS * COLUMNS, H, W, C)."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [3.6, *(7 * ROWS / COLUMNS + 0.2 for _ in images)]
    figure, (axes, *others) = pyplot.subplots(
        len(heights), figsize=(7, sum(heights)), height_ratios=heights, layout="constrained"
    )
    for name, values in curves.items():
        axes.plot([*values], [*values.values()], marker=".", label=name)
    axes.set(xlabel="kimg", ylabel="FID", title=title)
    axes.legend()
    for (name, kind), axes in zip(images.items(), others):
        axes.imshow(np.vstack([np.hstack(row) for row in kind.reshape(ROWS, COLUMNS, *kind.shape[1:])]))
        axes.set_title(name, fontsize=9, loc="left")
        axes.axis("off")
    figure.savefig(path, dpi=100)


def print_table(curves: dict[str, dict[float, float]]) -> None:
    times = sorted({kimg for values in curves.values() for kimg in values})
    print(f"{'kimg':<28}" + "".join(f"{kimg:>8g}" for kimg in times))
    for name, values in curves.items():
        print(f"{name:<28}" + "".join(f"{values[kimg]:>8.1f}" if kimg in values else f"{'-':>8}" for kimg in times))


def trainer(folder: Path, model: str, preset: str | None, **common: Any) -> Callable[..., Any]:
    """Return a function that trains and keeps every checkpoint."""

    def train(data: Path, **options: Any) -> Any:
        given = {**common, "snapshot": 1, "keep": 10_000, **options}
        return ganzoo.train(model, data, preset=preset, experiments=folder, **given)

    return train


@click.command()
@click.option("--style", default="voxel-art", help="Style of avatars to learn.")
@click.option("--images", default=300, help="Images of it to train on.")
@click.option("--model", default="lsgan")
@click.option("--preset", help="TOML file with options of the model for all runs.")
@click.option("--size", default=32, help="Side of the images in px.")
@click.option("--source", help="Model for the other styles: a run, a checkpoint or zoo:NAME.  [default: train one]")
@click.option("--source-kimg", default=200.0, help="Training of the model for the other styles.")
@click.option("--kimg", default=60.0, help="Training on the few images, three times.")
@click.option("--tick", default=6.0, help="kimg between two FIDs.")
@click.option("--augment", default="diffaugment", help="Augmentation in the trainings on few images.")
@click.option("--freeze-d", default=2, help="Blocks of the discriminator to freeze.")
@click.option("--batch", default=32)
@click.option("--samples", default=2000, help="Images to generate for a FID.")
@click.option("--folder", default="experiments/transfer", help="Where runs and results are written.")
def main(
    style: str,
    images: int,
    model: str,
    preset: str | None,
    size: int,
    source: str | None,
    source_kimg: float,
    kimg: float,
    tick: float,
    augment: str,
    freeze_d: int,
    batch: int,
    samples: int,
    folder: str,
) -> None:
    home = Path(folder)
    data = write_data(home / "data", style, images, size)
    has_size = "size" in options_by_name(plugins.load().model(model).options)
    train = trainer(home, model, preset, batch=batch, **({"size": size} if has_size else {}))
    if source is None:
        source = str(train(data["others"], kimg=source_kimg, tick=source_kimg / 5).path)
    few: dict[str, Any] = {"data": data["few"], "kimg": kimg, "tick": tick, "augment": augment}
    runs = {
        "from scratch": train(**few),
        "from the other styles": train(**few, from_=source),
        f"the same, --freeze-d {freeze_d}": train(**few, from_=source, freeze_d=freeze_d),
    }
    curves = {name: fids(run.path, data["style"], samples) for name, run in runs.items()}
    print_table(curves)
    shown = {"real images": np.load(data["few"])[: ROWS * COLUMNS]}
    shown |= {name: np.asarray(run.generate(range(ROWS * COLUMNS))) for name, run in runs.items()}
    draw(home / "transfer.png", curves, shown, f"{model} on {images} images of {style}, {size} px, --augment {augment}")
    print(f"written: {home / 'transfer.png'}")


if __name__ == "__main__":
    main()
