"""Output of `ganzoo generate`. Each function in OUTPUTS writes to a folder, and yields lines describing its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.errors import OptionError, format_count
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling import image_files
from ganzoo.sampling.generation import progress, sheet_of
from ganzoo.sampling.input_images import filename_part
from ganzoo.sampling.plane import place_name
from ganzoo.sampling.request import GenerateRequest
from ganzoo.sampling.selection import requested_images, requested_mixing, requested_walk, rows_of
from ganzoo.sampling.sheets import max_sheet_images


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
    images = requested_images(sampler, request, rows)
    for index, row in enumerate(rows):
        prefix = f"{filename_part(row.name)}-" if row.name else ""
        for place, image in zip(row.seeds, images):
            image_files.save(out / f"{prefix}{place_name(place)}.png", image)
            if left > 0:
                on_sheet[index].append(image)
                left -= 1
    shown = [row for row in on_sheet if row]
    image_files.save(out / "grid.png", sheet_of(shown, [row.name for row in rows][: len(shown)], grid))
    on_it = sum(map(len, shown))
    names = f"{'CLASS-' if rows[0].name else ''}{'at' if request.points else 'seed'}*.png"
    yield f"{format_count(count, 'image')}: {out}/{names}"
    yield f"sheet{'' if on_it == count else f' of the first {on_it}'}: {out / 'grid.png'}"


def write_interpolation(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a video of a grid, or its frames (see `requested_walk`)."""
    frames, count = requested_walk(sampler, request, data)
    yield from write_frames(frames, count, request.format, request.fps, out)


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


def write_mixing(sampler: Any, request: GenerateRequest, data: DataInfo, out: Path) -> Iterator[str]:
    """Write a style-mixing sheet."""
    sheet, layers = requested_mixing(sampler, request, data)
    path = out / f"mixing-{request.mix_layers}.png"
    image_files.save(path, sheet)
    yield f"style mixing in the layers {layers.start}-{layers.stop - 1}: {path}"


OUTPUTS = {"images": write_images, "interpolate": write_interpolation, "mix": write_mixing}
