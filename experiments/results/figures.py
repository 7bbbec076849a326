"""Draw the pictures of a model for the page of results, beside the sheet that experiments/zoo.md shows.

    python experiments/results/figures.py zoo:stylegan-avatars

Writes NAME-walk.webp, an interpolation; NAME-neighbours.webp, samples and the training images nearest to them; for a
style-based model NAME-mixing.webp; for one that translates images only NAME-references.webp, validation images in the
style of others. Nothing is chosen by hand: seeds start at 0, and validation images are evenly spread.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
from neighbours import draw as draw_neighbours
from PIL import Image

import ganzoo
from ganzoo.cli import main as command_line
from ganzoo.errors import GanzooError
from ganzoo.sampling import image_files

GRID, STEPS = (1, 6), 8  # rows and columns of the walk, and frames from one seed to the next
SEEDS = range(18)  # of the walk: 3 in each cell
NEIGHBOURS = 6
ROWS = 8  # samples with their neighbours
PER_DOMAIN = 2  # sources and references


def write_images(dataset: ganzoo.Dataset, folder: Path) -> None:
    """Write some images of each domain to a subfolder named after it."""
    labels, domains = dataset.labels(), dataset.info.domains
    for index, domain in enumerate(domains):
        (folder / domain).mkdir(parents=True)
        members = np.flatnonzero(labels == index)
        # From all over the domain, and in each domain others: domains may begin with the same letters or people.
        spread = members[np.linspace(0, len(members) - 1, PER_DOMAIN * len(domains), dtype=int)]
        for number in spread[index :: len(domains)]:
            image_files.save(folder / domain / f"{number}.png", dataset.load(int(number))[0])


def draw_references(run: str, experiments: str, out: Path) -> None:
    """Draw validation images in the style of others."""
    dataset = ganzoo.load(run, experiments=experiments).validation()
    if dataset is None:
        raise GanzooError(f"{run}: its data are not on this machine.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(dataset, folder / "images")
        sources = [str(path) for path in sorted((folder / "images").glob("*/*.png"))]
        arguments = [argument for path in sources for argument in ("--source", path)]
        arguments += ["--reference", str(folder / "images"), "--experiments", experiments, "--out", str(folder / "out")]
        command_line(["generate", run, *arguments], "ganzoo", standalone_mode=False)
        with Image.open(folder / "out" / "grid.png") as sheet:
            image_files.save(out, np.asarray(sheet))


def draw_all(run: str, experiments: str, prefix: Path) -> None:
    loaded = ganzoo.load(run, experiments=experiments)
    if loaded.controls.translates:
        draw_references(run, experiments, prefix.with_name(f"{prefix.name}-references.webp"))
        return
    loaded.interpolate(SEEDS, grid=GRID, steps=STEPS).save(prefix.with_name(f"{prefix.name}-walk.webp"))
    if loaded.controls.style_layers:
        loaded.mix(range(8), range(8, 14)).save(prefix.with_name(f"{prefix.name}-mixing.webp"))
    nearest = prefix.with_name(f"{prefix.name}-neighbours.webp")
    count = max(1, ROWS // max(1, len(loaded.controls.classes)))
    draw_neighbours(run, f"0-{count - 1}", NEIGHBOURS, 10_000, None, experiments, nearest)


@click.command()
@click.argument("run")
@click.option("--name", help="How the files' names begin.  [default: the name of the run or the zoo's model]")
@click.option("--experiments", default="experiments", help="Folder of the runs.")
@click.option("--out", default=Path(__file__).parent, type=click.Path(path_type=Path), help="Folder to write to.")
def main(run: str, name: str | None, experiments: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    try:
        draw_all(run, experiments, out / (name or Path(run.removeprefix("zoo:")).stem))
    except GanzooError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
