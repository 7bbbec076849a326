"""Images, walks and style-mixing sheets of seeds: what `ganzoo generate` and the Python API share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from ganzoo.progress_bars import progress_bar
from ganzoo.sampling import latents, sheets
from ganzoo.sampling.plane import Place, code_at, seed_near
from ganzoo.sampling.styles import mix

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Row:
    """Seeds, or points of their plane, to show in one class: the class's name and label (classes,). A generator without
    classes has a single row, without name and label."""

    seeds: Sequence[Place]
    name: str = ""
    label: np.ndarray | None = None


def codes_of(sampler: Any, places: Sequence[Place], rows: Sequence[Row]) -> np.ndarray:
    """Return the codes (N, length) of seeds or points, whose classes alternate between those of the rows, and whose
    attributes are those that the seeds choose."""
    seeds = [place for place in places if not isinstance(place, tuple)]
    if len(seeds) < len(places):
        return np.stack([_code_of(sampler, place, rows[n % len(rows)]) for n, place in enumerate(places)])
    known, conditions = [row.label for row in rows if row.label is not None], None
    if known:
        conditions = np.stack([known[n % len(known)] for n in range(len(seeds))])
    elif sampler.attributes is not None:
        conditions = latents.attributes_from_seeds(seeds, sampler.attributes)
    codes: np.ndarray = sampler.code(latents.from_seeds(seeds, sampler.generator.latent), conditions)
    return codes


def _code_of(sampler: Any, place: Place, row: Row) -> np.ndarray:
    if isinstance(place, tuple):
        return code_at(sampler, place, lambda seed: codes_of(sampler, [seed], [row])[0])
    code: np.ndarray = codes_of(sampler, [place], [row])[0]
    return code


def images_of(sampler: Any, rows: Sequence[Row], mixed: tuple[int, range] | None = None) -> Iterator[np.ndarray]:
    """Yield an image uint8 (H, W, C) for each seed or point of each row; with `mixed`, each has the style of that seed,
    in the row's class, in some layers."""

    def code(place: Place, row: Row) -> np.ndarray:
        own = codes_of(sampler, [place], [row])
        if mixed is None:
            return own[0]
        return mix(sampler.styles(own)[0], sampler.styles(codes_of(sampler, [mixed[0]], [row]))[0], mixed[1])

    # Each code comes with a key, here the seed: random noise of an image depends on its key.
    codes = ((code(place, row), (seed_near(place),)) for row in rows for place in row.seeds)
    return progress(sampler.stream(codes), sum(len(row.seeds) for row in rows), "image")


def sheet_of(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str], grid: tuple[int, int] | None) -> np.ndarray:
    """Return a sheet of images uint8 (H, W, C), with a row per class, or of one class in a grid."""
    if len(rows) > 1:
        columns = max(map(len, rows))
        blank = np.full_like(rows[0][0], 255)
        cells = [image for row in rows for image in [*row, *[blank] * (columns - len(row))]]
        return sheets.add_labels(sheets.grid(np.stack(cells), len(rows), columns), names)
    images = rows[0]
    columns = min(len(images), (grid or sheets.grid_shape(len(images)))[1])
    height = -(-len(images) // columns)  # no empty rows, however large the grid is
    return sheets.grid(np.stack(images), height, columns)


def walk_frames(
    sampler: Any,
    seeds: Sequence[Place],
    rows: Sequence[Row],
    grid: tuple[int, int],
    steps: int,
    path: str | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of a looping walk, each a grid uint8 (H, W, C). Each cell walks through its share of the seeds,
    `steps` frames from one to the next; the number of seeds is a multiple of that of the cells. The classes alternate
    from seed to seed. `path` is a key of `latents.PATHS`; by default linear in w and spherical in z."""
    cells = grid[0] * grid[1]
    codes = codes_of(sampler, seeds, rows)
    keyframes = codes.reshape(cells, -1, codes.shape[1]).swapaxes(0, 1)
    first_seeds = [seed_near(place) for place in seeds[:: len(keyframes)]]
    walk = sampler.walk(keyframes, steps, path or ("linear" if sampler.space == "w" else "spherical"))
    # The keys contain the number of the frame, so that random noise differs between frames.
    points = ((code, (seed, index)) for index, point in enumerate(walk) for seed, code in zip(first_seeds, point))
    generated = sampler.stream(points)
    while frame := list(islice(generated, cells)):
        yield sheets.grid(np.stack(frame), *grid, keep_alpha=True)


def walk_grid(count: int) -> tuple[int, int]:
    """Return the default rows and columns of a walk through `count` seeds."""
    cells = next((each for each in (8, 4, 2) if count % each == 0 and count > each), 1)
    return sheets.grid_shape(cells)


def mixing_sheet(
    sampler: Any, sources: Sequence[int], destinations: Sequence[int], rows: Sequence[Row], layers: range
) -> np.ndarray:
    """Return a style-mixing sheet uint8 (H, W, C), with the sources in the top row and the destinations in the left
    column. Each cell shows its destination with the source's style in some layers (Karras et al. 2019, figure 3)."""
    source_styles, destination_styles = (
        sampler.styles(codes_of(sampler, seeds, rows)) for seeds in (sources, destinations)
    )
    codes = [*source_styles]
    for destination in destination_styles:
        codes += [destination, *(mix(destination, source, layers) for source in source_styles)]
    # The keys are empty, so all images of the sheet have the same noise.
    generated = list(progress(sampler.stream((code, ()) for code in codes), len(codes), "image"))
    blank = np.full_like(generated[0], 255)
    return sheets.grid(np.stack([blank, *generated]), len(destinations) + 1, len(sources) + 1)


def progress(items: Iterable[T], count: int, unit: str) -> Iterator[T]:
    """Iterate over images or frames, with a progress bar if it takes longer than 2 s."""
    return iter(progress_bar(items, total=count, unit=unit, leave=False, disable=None, delay=2))
