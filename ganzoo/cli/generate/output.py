"""Output of `ganzoo generate`. Each function in OUTPUTS writes to a folder, and yields lines describing its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from ganzoo.cli.generate.request import (
    GenerateRequest,
    check_walk_length,
    default_seeds,
    parse_attributes,
    parse_classes,
    parse_mix_layers,
    shortened,
)
from ganzoo.errors import OptionError, UnsupportedByModelError, format_count
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling import image_files, latents, sampler, sheets
from ganzoo.sampling.input_images import filename_part
from ganzoo.sampling.sheets import max_sheet_images
from ganzoo.sampling.styles import StyleSampler, mix

T = TypeVar("T")


def sampler_for(
    generator: Any, model: str, request: GenerateRequest, attributes: np.ndarray | None = None
) -> sampler.Sampler:
    """Return the sampler for a request. `attributes` are the rows from which seeds choose (see `chosen_attributes`).
    UnsupportedByModelError if the model lacks what the request needs."""
    # Not at the top: this import requires that Jittor has been started.
    from ganzoo.interfaces.networks import StyleGenerator

    if isinstance(generator, StyleGenerator):
        space = request.space or ("w" if request.kind == "interpolate" else "z")
        return StyleSampler(generator, request.psi, request.psi_layers, request.noise, space, attributes)
    if request.style_flags:
        raise UnsupportedByModelError(
            f"{request.style_flags[0]}: for style-based generators only; {model} is not style-based."
        )
    return sampler.Sampler(generator, attributes)


def chosen_attributes(
    request: GenerateRequest, rows: np.ndarray | None, generator: Any, data: DataInfo
) -> np.ndarray | None:
    """Return the rows of attributes (K, A), with those that the request sets. UnsupportedByModelError if the generator
    has none, OptionError if an attribute is unknown or not a number."""
    if request.attributes is None:
        return rows
    if rows is None:
        classes = latents.class_names(generator.classes, data.domains) if generator.classes else []
        others = f", but the classes {shortened(classes)}; choose with --class" if classes else ""
        raise UnsupportedByModelError(f"--attributes: this model has no attributes{others}.")
    rows = rows.copy()
    for index, value in parse_attributes(request.attributes, data.attributes).items():
        rows[:, index] = value
    return rows


@dataclass(frozen=True, eq=False)
class Row:
    """Seeds to show in one class: the class's name and label (classes,). A generator without classes has a single row,
    without name and label."""

    seeds: list[int]
    name: str = ""
    label: np.ndarray | None = None


def rows_of(request: GenerateRequest, sampler: Any, data: DataInfo) -> list[Row]:
    """Return a row for each requested class. UnsupportedByModelError if the generator has no classes, OptionError if a
    class is unknown or needs more seeds than there are."""
    classes = sampler.classes
    if not classes:
        if request.classes is not None:
            hint = "; train one with --conditional"
            if sampler.attributes is not None:
                hint = f", but the attributes {shortened(data.attributes)}; set them with --attributes"
            raise UnsupportedByModelError(f"--class: this model has no classes{hint}.")
        return [Row(default_seeds(request) if request.seeds is None else request.seeds)]
    names, labels = latents.class_names(classes, data.domains), np.eye(classes, dtype=np.float32)
    chosen = parse_classes(request.classes, names)
    most = max(count or 0 for _, count in chosen)
    seeds = request.seeds or list(range(max(most, len(default_seeds(request, len(chosen))))))
    if most > len(seeds):
        raise OptionError(f"--class {request.classes}: {most} images of a class need as many seeds; --seeds has fewer.")
    return [Row(seeds[:count], names[index], labels[index]) for index, count in chosen]


def write_images(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write an image per seed and class, and a sheet of all images or of the first ones."""
    rows, grid = rows_of(request, sampler, data), request.grid
    count = sum(len(row.seeds) for row in rows)
    if grid and len(rows) > 1:
        raise OptionError("--grid: not with several classes, which have a row each.")
    if grid and grid[0] * grid[1] < count:
        raise OptionError(f"--grid: {grid[0]}x{grid[1]} has no room for {count} seeds.")
    on_sheet: list[list[np.ndarray]] = [[] for _ in rows]
    left = max_sheet_images(data)
    # Each code comes with a key, here the seed: with `--noise random`, the noise of an image depends on its key.
    codes = ((_codes(sampler, [seed], [row])[0], (seed,)) for row in rows for seed in row.seeds)
    images = progress(sampler.stream(codes), count, "image")
    for index, row in enumerate(rows):
        prefix = f"{filename_part(row.name)}-" if row.name else ""
        for seed, image in zip(row.seeds, images):
            image_files.save(out / f"{prefix}seed{seed:04d}.png", image)
            if left > 0:
                on_sheet[index].append(image)
                left -= 1
    shown = [row for row in on_sheet if row]
    image_files.save(out / "grid.png", _sheet(shown, [row.name for row in rows][: len(shown)], grid))
    on_it = sum(map(len, shown))
    yield f"{format_count(count, 'image')}: {out}/{'CLASS-' if rows[0].name else ''}seed*.png"
    yield f"sheet{'' if on_it == count else f' of the first {on_it}'}: {out / 'grid.png'}"


def _sheet(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str], grid: tuple[int, int] | None) -> np.ndarray:
    """Return a sheet with a row per class, or of one class in a grid."""
    if len(rows) > 1:
        columns = max(map(len, rows))
        blank = np.full_like(rows[0][0], 255)
        cells = [image for row in rows for image in [*row, *[blank] * (columns - len(row))]]
        return sheets.add_labels(sheets.grid(np.stack(cells), len(rows), columns), names)
    images = rows[0]
    columns = min(len(images), (grid or sheets.grid_shape(len(images)))[1])
    height = -(-len(images) // columns)  # no empty rows, however large --grid is
    return sheets.grid(np.stack(images), height, columns)


def write_interpolation(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a video of a grid, or its frames. Each cell walks through its share of the seeds in a loop. If there are
    several classes, they alternate from seed to seed."""
    rows = rows_of(replace(request, seeds=request.seeds or default_seeds(request)), sampler, data)
    seeds = rows[0].seeds
    grid = request.grid or _default_grid(len(seeds))
    cells = grid[0] * grid[1]
    if cells == 1 and len(seeds) < 2:
        raise OptionError("--interpolate: a walk needs at least two seeds, but --seeds names one.")
    if len(seeds) % cells or len(seeds) < 2 * cells:
        raise OptionError(
            f"--seeds: {len(seeds)} seeds can't be shared among the {cells} cells of --grid "
            f"{grid[0]}x{grid[1]}; give a multiple of {cells}, at least {2 * cells}."
        )
    _check_sheet_size("--grid", *grid, data)
    check_walk_length(len(seeds), request.steps, cells)
    count = len(seeds) // cells * request.steps
    frames = _frames(sampler, seeds, rows, request, grid)
    yield from write_frames(frames, count, request.format, request.fps, out)


def _check_sheet_size(option: str, rows: int, columns: int, data: DataInfo) -> None:
    if rows * columns > max_sheet_images(data):
        raise OptionError(
            f"{option}: {rows} rows of {columns} images exceed the maximum of {max_sheet_images(data)} per sheet at "
            f"{data.size} px."
        )


def write_frames(frames: Iterable[np.ndarray], count: int, format_: str, fps: int, out: Path) -> Iterator[str]:
    """Write `count` frames as an animation, or as separate files if the format is 'png'."""
    frames = progress(frames, count, "frame")
    if format_ != "png":
        path = out / f"interpolation.{format_}"
        image_files.save_animation(path, frames, fps)
        yield f"interpolation of {format_count(count, 'frame')}: {path}"
        return
    for index, frame in enumerate(frames):
        image_files.save(out / f"interpolation{index:05d}.png", frame)
    yield f"{format_count(count, 'frame')}: {out}/interpolation*.png"


def _frames(
    sampler: Any, seeds: list[int], rows: Sequence[Row], request: GenerateRequest, grid: tuple[int, int]
) -> Iterator[np.ndarray]:
    cells = grid[0] * grid[1]
    codes = _codes(sampler, seeds, rows)
    keyframes = codes.reshape(cells, -1, codes.shape[1]).swapaxes(0, 1)
    first_seeds = seeds[:: len(keyframes)]
    path = request.path or ("linear" if sampler.space == "w" else "spherical")
    walk = sampler.walk(keyframes, request.steps, path)
    # The keys contain the number of the frame, so that random noise differs between frames.
    steps = ((code, (seed, index)) for index, point in enumerate(walk) for seed, code in zip(first_seeds, point))
    generated = sampler.stream(steps)
    while frame := list(islice(generated, cells)):
        yield sheets.grid(np.stack(frame), *grid, keep_alpha=True)


def write_mixing(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a style-mixing sheet, with the sources in the top row and the destinations in the left column. Each cell
    shows its destination with the source's style in some layers (Karras et al. 2019, figure 3)."""
    select_layers = parse_mix_layers(request.mix_layers)
    layers = select_layers(sampler.generator.style_layers())
    grid = len(request.destinations) + 1, len(request.sources) + 1
    _check_sheet_size("--mix", *grid, data)
    classes = rows_of(replace(request, seeds=request.sources), sampler, data)
    sources, destinations = (
        sampler.styles(_codes(sampler, seeds, classes)) for seeds in (request.sources, request.destinations)
    )
    codes = [*sources]
    for destination in destinations:
        codes += [destination, *(mix(destination, source, layers) for source in sources)]
    # The keys are empty, so all images of the sheet have the same noise.
    generated = list(progress(sampler.stream((code, ()) for code in codes), len(codes), "image"))
    path = out / f"mixing-{request.mix_layers}.png"
    image_files.save(path, sheets.grid(np.stack([np.full_like(generated[0], 255), *generated]), *grid))
    yield f"style mixing in the layers {layers.start}-{layers.stop - 1}: {path}"


OUTPUTS = {"images": write_images, "interpolate": write_interpolation, "mix": write_mixing}


def _codes(sampler: Any, seeds: list[int], rows: Sequence[Row]) -> np.ndarray:
    """Return the codes (N, length) of seeds, whose classes alternate between those of the rows, and whose attributes
    are those that the seeds choose."""
    known, conditions = [row.label for row in rows if row.label is not None], None
    if known:
        conditions = np.stack([known[n % len(known)] for n in range(len(seeds))])
    elif sampler.attributes is not None:
        conditions = latents.attributes_from_seeds(seeds, sampler.attributes)
    codes: np.ndarray = sampler.code(latents.from_seeds(seeds, sampler.generator.latent), conditions)
    return codes


def _default_grid(count: int) -> tuple[int, int]:
    cells = next((each for each in (8, 4, 2) if count % each == 0 and count > each), 1)
    return sheets.grid_shape(cells)


def progress(items: Iterable[T], count: int, unit: str) -> Iterator[T]:
    """Iterate over images or frames, with a progress bar if it takes longer than 2 s."""
    return iter(tqdm(items, total=count, unit=unit, leave=False, disable=None, delay=2))
