"""`ganzoo generate`: pictures and animations from a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ganzoo.cli import registry
from ganzoo.errors import OptionError, RunError

SHEET = 1024  # at most so many images on one sheet


def parse_seeds(text: str) -> list[int]:
    """'0-3,7' -> [0, 1, 2, 3, 7]. OptionError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise OptionError(f"--seeds: {part!r} is not a number or a range like 0-31.")
        last = int(match[2] or match[1])
        if last - int(match[1]) >= 1_000_000:
            raise OptionError(f"--seeds: {part!r} is more than a million images.")
        seeds += range(int(match[1]), last + 1)
    return seeds


def parse_grid(text: str) -> tuple[int, int]:
    """'4x8' -> (4, 8): rows and columns. OptionError for anything else."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if match is None or not int(match[1]) * int(match[2]):
        raise OptionError(f"--grid: {text!r} is not ROWSxCOLUMNS, for example 4x8.")
    return int(match[1]), int(match[2])


@click.command()
@click.argument("source", required=False, metavar="[RUN|CHECKPOINT]")
@click.option("--seeds", metavar="LIST", help="Seeds of the latents, e.g. 0-31 or 3,5,8.  [default: 0-31]")
@click.option("--grid", metavar="RxC", help="Rows and columns of the sheet, e.g. 4x8.")
@click.option("--interpolate", is_flag=True, help="An animated walk through the seeds' latents that closes to a loop.")
@click.option(
    "--steps", type=click.IntRange(1, 10_000), default=15, help="Frames from one seed to the next.  [default: 15]"
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "gif", "webp", "mp4"]),
    help="Of the result.  [default: png, gif when interpolating]",
)
@click.option("--out", type=click.Path(file_okay=False), help="Output folder.  [default: 'generated' in the run]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--experiments", type=click.Path(file_okay=False), default="experiments", help="Where runs are kept.")
@click.pass_context
def generate(ctx: click.Context, /, source: str | None, **values: Any) -> None:
    """Generate images from a run or a checkpoint; from the newest run when none is named.

    Writes an image per seed and a sheet of all; with --interpolate an animation, each cell of the --grid walking
    through its share of the seeds (as frames with --format png).
    """
    shape = parse_grid(values["grid"]) if values["grid"] is not None else None
    moving = values["interpolate"]
    if not moving and values["format_"] in ("gif", "webp", "mp4"):
        raise OptionError(f"--format {values['format_']}: for --interpolate only; still images are PNG.")
    seeds = parse_seeds(values["seeds"]) if values["seeds"] is not None else _default_seeds(shape, moving)
    path, default_out = _checkpoint(source, Path(values["experiments"]))
    out = Path(values["out"]) if values["out"] else default_out
    from ganzoo import backend, sampling
    from ganzoo.training import checkpoint

    saved = checkpoint.read(path)
    saved.model(registry(ctx))  # an unknown model is told before Jittor is started
    backend.start(values["device"])
    generator = sampling.load_generator(saved, registry(ctx))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {out}: can't be made ({error.strerror}).") from error
    click.echo(f"from {path}")
    with backend.watch_kernels("generating"):
        if moving:
            _interpolate(generator, seeds, shape or _cells(seeds), values["steps"], values["format_"] or "gif", out)
        else:
            _stills(generator, seeds, shape, out)


def _default_seeds(shape: tuple[int, int] | None, moving: bool) -> list[int]:
    if shape is None:
        return list(range(32))
    keys = 4 if moving else 1
    return list(range(shape[0] * shape[1] * keys))


def _cells(seeds: list[int]) -> tuple[int, int]:
    from ganzoo.images import grid_shape

    cells = next((count for count in (8, 4, 2) if len(seeds) % count == 0 and len(seeds) > count), 1)
    return grid_shape(cells)


def _checkpoint(source: str | None, experiments: Path) -> tuple[Path, Path]:
    """The checkpoint file that is meant, and where its images go by default."""
    from ganzoo import runs
    from ganzoo.training.checkpoint import SUFFIX, newest

    if source is not None and (source.endswith(SUFFIX) or Path(source).is_file()):
        path = Path(source)
        return path, path.resolve().parent / "generated"
    run = runs.find("latest" if source is None else source, experiments)
    path_found = newest(run.path)
    if path_found is None:
        raise RunError(f"{run.path}: it has no checkpoint yet.")
    return path_found, run.path / "generated"


def _stills(generator: Any, seeds: list[int], shape: tuple[int, int] | None, out: Path) -> None:
    import numpy as np
    from tqdm import tqdm

    from ganzoo import images, sampling

    if shape and shape[0] * shape[1] < len(seeds):
        raise OptionError(f"--grid: {shape[0]}x{shape[1]} has no room for {len(seeds)} seeds.")
    kept: list[np.ndarray] = []
    for at in tqdm(range(0, len(seeds), sampling.CHUNK), unit="chunk", leave=False, delay=2):
        chunk = seeds[at : at + sampling.CHUNK]
        for seed, image in zip(chunk, sampling.generate(generator, sampling.latents(chunk, generator.latent))):
            images.save(out / f"seed{seed:04d}.png", image)
            if len(kept) < SHEET:
                kept.append(image)
    sheet = images.grid(np.stack(kept), *(shape or images.grid_shape(len(kept))))
    images.save(out / "grid.png", sheet)
    click.echo(f"{len(seeds)} images: {out}/seed*.png")
    click.echo(f"sheet: {out / 'grid.png'}")


def _interpolate(generator: Any, seeds: list[int], shape: tuple[int, int], steps: int, format_: str, out: Path) -> None:
    import numpy as np
    from tqdm import tqdm

    from ganzoo import images, sampling

    cells = shape[0] * shape[1]
    if len(seeds) % cells or len(seeds) < 2 * cells:
        raise OptionError(
            f"--seeds: {len(seeds)} seeds can't be shared among the {cells} cells of --grid "
            f"{shape[0]}x{shape[1]}; give a multiple of {cells}, at least {2 * cells}."
        )
    keys = sampling.latents(seeds, generator.latent).reshape(cells, len(seeds) // cells, -1)
    walks = np.stack([sampling.loop(cell, steps) for cell in keys], axis=1)  # (frames, cells, latent)

    def frames() -> Any:
        for z in tqdm(walks, unit="frame", leave=False, delay=2):
            yield images.grid(sampling.generate(generator, z), *shape)

    if format_ == "png":
        for index, frame in enumerate(frames()):
            images.save(out / f"interpolation{index:05d}.png", frame)
        click.echo(f"{len(walks)} frames: {out}/interpolation*.png")
        return
    path = out / f"interpolation.{format_}"
    images.save_animation(path, frames())
    click.echo(f"interpolation of {len(walks)} frames: {path}")
