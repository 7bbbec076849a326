"""Output of `ganzoo generate`. Each function in OUTPUTS writes to a folder, and yields lines describing its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ganzoo.cli.generate.request import GenerateRequest, check_walk_length, parse_mix_layers
from ganzoo.errors import OptionError, UnsupportedByModelError, format_count
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling import image_files, latents, sampler, sheets
from ganzoo.sampling.sheets import max_sheet_images
from ganzoo.sampling.styles import StyleSampler, mix


def sampler_for(generator: Any, model: str, request: GenerateRequest) -> sampler.Sampler:
    """Return the sampler for a request. UnsupportedByModelError if the model lacks what the request needs."""
    # Not at the top: this import requires that Jittor has been started.
    from ganzoo.interfaces.networks import StyleGenerator

    if isinstance(generator, StyleGenerator):
        space = request.space or ("w" if request.kind == "interpolate" else "z")
        return StyleSampler(generator, request.psi, request.psi_layers, request.noise, space)
    if request.style_flags:
        raise UnsupportedByModelError(
            f"{request.style_flags[0]}: for style-based generators only; {model} is not style-based."
        )
    return sampler.Sampler(generator)


def write_images(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write an image per seed, and a sheet of all images or of the first ones."""
    seeds, grid = request.seeds, request.grid
    if grid and grid[0] * grid[1] < len(seeds):
        raise OptionError(f"--grid: {grid[0]}x{grid[1]} has no room for {len(seeds)} seeds.")
    on_sheet: list[np.ndarray] = []
    # Each code comes with a key, here the seed: with `--noise random`, the noise of an image depends on its key.
    codes = ((_latents(sampler, [seed])[0], (seed,)) for seed in seeds)
    for seed, image in zip(seeds, progress(sampler.stream(codes), len(seeds), "image")):
        image_files.save(out / f"seed{seed:04d}.png", image)
        if len(on_sheet) < max_sheet_images(data):
            on_sheet.append(image)
    columns = min(len(on_sheet), (grid or sheets.grid_shape(len(on_sheet)))[1])
    rows = -(-len(on_sheet) // columns)  # no empty rows, however large --grid is
    image_files.save(out / "grid.png", sheets.grid(np.stack(on_sheet), rows, columns))
    yield f"{format_count(len(seeds), 'image')}: {out}/seed*.png"
    yield f"sheet{'' if len(on_sheet) == len(seeds) else f' of the first {len(on_sheet)}'}: {out / 'grid.png'}"


def write_interpolation(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a video of a grid, or its frames. Each cell walks through its share of the seeds in a loop."""
    seeds = request.seeds
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
    yield from write_frames(_frames(sampler, request, grid), count, request.format, request.fps, out)


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


def _frames(sampler: Any, request: GenerateRequest, grid: tuple[int, int]) -> Iterator[np.ndarray]:
    cells = grid[0] * grid[1]
    codes = sampler.code(_latents(sampler, request.seeds))
    keyframes = codes.reshape(cells, -1, codes.shape[1]).swapaxes(0, 1)
    first_seeds = request.seeds[:: len(keyframes)]
    path = request.path or ("linear" if sampler.space == "w" else "spherical")
    walk = latents.loop(keyframes, request.steps, latents.PATHS[path], sampler.walk_centre)
    # The keys contain the number of the frame, so that random noise differs between frames.
    steps = ((code, (seed, index)) for index, point in enumerate(walk) for seed, code in zip(first_seeds, point))
    generated = sampler.stream(steps)
    while frame := list(islice(generated, cells)):
        yield sheets.grid(np.stack(frame), *grid)


def write_mixing(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a style-mixing sheet, with the sources in the top row and the destinations in the left column. Each cell
    shows its destination with the source's style in some layers (Karras et al. 2019, figure 3)."""
    select_layers = parse_mix_layers(request.mix_layers)
    layers = select_layers(sampler.generator.style_layers())
    grid = len(request.destinations) + 1, len(request.sources) + 1
    _check_sheet_size("--mix", *grid, data)
    sources, destinations = (
        sampler.styles(_latents(sampler, seeds)) for seeds in (request.sources, request.destinations)
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


def _latents(sampler: Any, seeds: list[int]) -> np.ndarray:
    return latents.from_seeds(seeds, sampler.generator.latent)


def _default_grid(count: int) -> tuple[int, int]:
    cells = next((each for each in (8, 4, 2) if count % each == 0 and count > each), 1)
    return sheets.grid_shape(cells)


def progress(frames: Iterable[np.ndarray], count: int, unit: str) -> Iterator[np.ndarray]:
    """Iterate over images or frames, with a progress bar if it takes longer than 2 s."""
    return iter(tqdm(frames, total=count, unit=unit, leave=False, disable=None, delay=2))
