"""`ganzoo generate`: pictures and animations from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ganzoo.cli import generate_input as texts
from ganzoo.cli import registry
from ganzoo.errors import OptionError, RunError


@click.command()
@click.argument("source", required=False, metavar="[RUN|CHECKPOINT]")
@click.option("--seeds", metavar="LIST", help="Seeds of the latents, e.g. 0-31 or 3,5,8.  [default: 0-31]")
@click.option("--grid", metavar="RxC", help="Rows and columns of the sheet, e.g. 4x8.")
@click.option("--size", type=int, metavar="PX", help="An earlier resolution, of a model that grew.")
@click.option("--interpolate", is_flag=True, help="An animated walk through the seeds' latents that closes to a loop.")
@click.option("--steps", type=click.IntRange(1, 10_000), help="Frames from one seed to the next.  [default: 15]")
@click.option(
    "--space", type=click.Choice(["z", "w"]), help="Where to walk.  [default: w if the model is style-based, else z]"
)
@click.option(
    "--path",
    type=click.Choice(["linear", "spherical"]),
    help="How to walk; in w, spherical is about the mean.  [default: linear in w, spherical in z]",
)
@click.option("--fps", type=click.IntRange(1, 120), help="Frames per second, at most 50 in a GIF.  [default: 20]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "gif", "webp", "mp4"]),
    help="Of the result.  [default: png, gif when interpolating]",
)
@click.option(
    "--psi", type=float, help="Style-based: truncation, from 0, the average image, to 1, none.  [default: 0.7]"
)
@click.option(
    "--psi-layers", metavar="N|all", help="Style-based: truncate the first N layers.  [default: as the model says]"
)
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Style-based: the same in all images, one of each image's own, or none.  [default: const]",
)
@click.option("--mix", is_flag=True, help="Style-based: a sheet of destinations (left) with styles of sources (top).")
@click.option("--sources", metavar="LIST", help="Seeds of the sources of --mix.  [default: 0-4]")
@click.option("--destinations", metavar="LIST", help="Seeds of the destinations of --mix.  [default: 5-7]")
@click.option(
    "--mix-layers",
    metavar="coarse|middle|fine|A-B",
    help="Which layers get the source's style: those of 4-8 px, 16-32 px, above, or by number.  [default: coarse]",
)
@click.option("--out", type=click.Path(file_okay=False), help="Output folder.  [default: 'generated' in the run]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--experiments", type=click.Path(file_okay=False), default="experiments", help="Where runs are kept.")
@click.pass_context
def generate(ctx: click.Context, /, source: str | None, **values: Any) -> None:
    """Generate images from a run or a checkpoint; from the newest run when none is named.

    Writes an image per seed and a sheet of all; with --interpolate an animation, each cell of the --grid walking
    through its share of the seeds (as frames with --format png); with --mix a style-mixing sheet. The same command
    always gives the same files.
    """
    request = texts.read(values)
    path, default_out = _checkpoint(source, Path(values["experiments"]))
    out = Path(values["out"]) if values["out"] else default_out
    from ganzoo import backend, sampling
    from ganzoo.cli import generate_output
    from ganzoo.training import checkpoint

    saved = checkpoint.read(path)
    sizes = sampling.trained_sizes(saved, registry(ctx))  # an unknown model is told before Jittor is started
    if request.size not in (None, *sizes):
        raise OptionError(
            f"--size {request.size}: training went through {', '.join(map(str, sizes))} px; choose of these."
        )
    backend.start(values["device"])
    generator = sampling.load_generator(saved, registry(ctx), request.size)
    sampler = generate_output.sampler_for(generator, saved.metadata["model"], request)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {out}: can't be made ({error.strerror}).") from error
    click.echo(f"from {path}")
    with backend.watch_kernels("generating"):
        for line in generate_output.OUTPUTS[request.kind](sampler, request, out):
            click.echo(line)


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
