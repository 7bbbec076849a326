"""What `ganzoo generate` and the Python API request of a generator: the sampler, the classes, a walk, a sheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints.loading import load_attributes, load_generator, trained_sizes
from ganzoo.errors import OptionError, UnsupportedByModelError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling import latents, sampler
from ganzoo.sampling.generation import Row, images_of, mixing_sheet, walk_frames, walk_grid
from ganzoo.sampling.request import (
    GenerateRequest,
    check_walk_length,
    default_seeds,
    parse_attributes,
    parse_classes,
    parse_mix_layers,
    shortened,
)
from ganzoo.sampling.sheets import max_sheet_images
from ganzoo.sampling.styles import StyleSampler

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry


def open_generator(
    saved: Checkpoint, registry: Registry, size: int | None = None, device: str = "auto"
) -> tuple[Any, DataInfo]:
    """Start Jittor, and return a checkpoint's generator at `size` px (None: the size that training had reached), with
    the checkpoint's data at that size. OptionError if it was not trained at that size."""
    sizes = trained_sizes(saved, registry)  # reports an unknown model before Jittor is started
    if size not in (None, *sizes):
        raise OptionError(
            f"--size {size}: this run was trained at {', '.join(map(str, sizes))} px; choose one of these."
        )
    backend.start(device)
    return load_generator(saved, registry, size), replace(saved.data, size=sizes[-1] if size is None else size)


def sampler_of(saved: Checkpoint, generator: Any, request: GenerateRequest) -> sampler.Sampler:
    """Return the sampler of a checkpoint's generator for a request. OptionError if the request names an attribute that
    there is not, UnsupportedByModelError if the model lacks what the request needs."""
    # Not at the top: this import requires that Jittor has been started.
    from ganzoo.interfaces.networks import StyleGenerator

    rows = chosen_attributes(request, load_attributes(saved, generator), generator, saved.data)
    if isinstance(generator, StyleGenerator):
        space = request.space or ("w" if request.kind == "interpolate" or request.points else "z")
        return StyleSampler(generator, request.psi, request.psi_layers, request.noise, space, rows)
    if request.style_flags:
        raise UnsupportedByModelError(
            f"{request.style_flags[0]}: for style-based generators only; {saved.run.model} is not style-based."
        )
    return sampler.Sampler(generator, rows)


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


def rows_of(request: GenerateRequest, sampler: Any, data: DataInfo) -> list[Row]:
    """Return a row of seeds or points for each requested class. UnsupportedByModelError if the generator has no
    classes, OptionError if a class is unknown or needs more seeds than there are."""
    classes, places = sampler.classes, request.points or request.seeds
    if not classes:
        if request.classes is not None:
            hint = "; train one with --conditional"
            if sampler.attributes is not None:
                hint = f", but the attributes {shortened(data.attributes)}; set them with --attributes"
            raise UnsupportedByModelError(f"--class: this model has no classes{hint}.")
        return [Row(default_seeds(request) if places is None else places)]
    names, labels = latents.class_names(classes, data.domains), np.eye(classes, dtype=np.float32)
    chosen = parse_classes(request.classes, names)
    most = max(count or 0 for _, count in chosen)
    seeds = places or list(range(max(most, len(default_seeds(request, len(chosen))))))
    if most > len(seeds):
        raise OptionError(f"--class {request.classes}: {most} images of a class need as many seeds; --seeds has fewer.")
    return [Row(seeds[:count], names[index], labels[index]) for index, count in chosen]


def requested_images(sampler: Any, request: GenerateRequest, rows: list[Row]) -> Iterator[np.ndarray]:
    """Yield an image uint8 (H, W, C) for each seed or point of each row, mixed if the request says so. OptionError if
    the images lack the requested layers."""
    if request.mix_with is None:
        return images_of(sampler, rows)
    layers = parse_mix_layers(request.mix_layers)(sampler.generator.style_layers())
    return images_of(sampler, rows, (request.mix_with, layers))


def requested_walk(sampler: Any, request: GenerateRequest, data: DataInfo) -> tuple[Iterator[np.ndarray], int]:
    """Return the frames uint8 (H, W, C) of a requested walk, and their number. Each cell of the grid walks through its
    share of the seeds. OptionError if the seeds can't be shared among the cells, or the walk is too long."""
    if not request.points:
        request = replace(request, seeds=request.seeds or default_seeds(request))
    rows = rows_of(request, sampler, data)
    seeds = rows[0].seeds
    grid = request.grid or walk_grid(len(seeds))
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
    frames = walk_frames(sampler, seeds, rows, grid, request.steps, request.path)
    return frames, len(seeds) // cells * request.steps


def requested_mixing(sampler: Any, request: GenerateRequest, data: DataInfo) -> tuple[np.ndarray, range]:
    """Return a requested style-mixing sheet uint8 (H, W, C), and the layers that get the sources' styles. OptionError
    if the images have no such layers, or the sheet is too large."""
    layers = parse_mix_layers(request.mix_layers)(sampler.generator.style_layers())
    _check_sheet_size("--mix", len(request.destinations) + 1, len(request.sources) + 1, data)
    rows = rows_of(replace(request, seeds=request.sources), sampler, data)
    return mixing_sheet(sampler, request.sources, request.destinations, rows, layers), layers


def _check_sheet_size(option: str, rows: int, columns: int, data: DataInfo) -> None:
    if rows * columns > max_sheet_images(data):
        raise OptionError(
            f"{option}: {rows} rows of {columns} images exceed the maximum of {max_sheet_images(data)} per sheet at "
            f"{data.size} px."
        )
