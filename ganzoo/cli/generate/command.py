"""`ganzoo generate`: make images and animations from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder, device_option, experiments_option, run_argument
from ganzoo.sampling.request import (
    GenerateRequest,
    TranslateRequest,
    parse_request,
    parse_translation_request,
)

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint


@click.command(short_help="Make images and animations from a run or checkpoint.")
@run_argument
@click.option(
    "--seeds", metavar="LIST", help="Seeds of the latents, e.g. 0-31 or 3,5,8.  [default: 0-31; with --source 0-9]"
)
@click.option(
    "--at",
    metavar="X,Y",
    multiple=True,
    help="Point of the plane of seeds, instead of --seeds: 3,2 is seed 203, and 3.5,2 lies between seeds 203 and 204. "
    "Can be given several times.",
)
@click.option(
    "--class",
    metavar="LIST|all",
    help="Class-conditional: classes to generate, e.g. 7 or cat:4,dog:4, with the first 4 seeds for each.  [default: "
    "all, with the seeds 0-7]",
)
@click.option(
    "--attributes",
    metavar="LIST",
    help="Models with attributes: values for all images, e.g. smiling=1,age=0.3.  [default: each seed's own]",
)
@click.option(
    "--source",
    metavar="IMAGE|FOLDER",
    multiple=True,
    help="Translation: images to translate. Can be given several times.",
)
@click.option("--domain", metavar="LIST", help="Translation: target domains, e.g. cat,dog.  [default: all]")
@click.option(
    "--reference",
    metavar="IMAGE|FOLDER",
    multiple=True,
    help="Translation: reference images that give the style, instead of --seeds. They belong to one --domain, or are "
    "in folders named after domains. Can be given several times.",
)
@click.option("--grid", metavar="RxC", help="Rows and columns of the sheet, e.g. 4x8.")
@click.option(
    "--size",
    type=int,
    metavar="PX",
    help="Resolution: one that a progressive model was trained at.  [default: the last]",
)
@click.option("--interpolate", is_flag=True, help="Make an animation: a looping walk through the latents of the seeds.")
@click.option(
    "--steps",
    type=click.IntRange(1, 10_000),
    help="Frames from one seed to the next.  [default: 15; 31 between references]",
)
@click.option(
    "--space",
    type=click.Choice(["z", "w"]),
    help="Latent space of the walk.  [default: w if the model is style-based, else z]",
)
@click.option(
    "--path",
    type=click.Choice(["linear", "spherical"]),
    help="Kind of interpolation; in w, spherical paths are around the mean.  [default: linear in w, spherical in z]",
)
@click.option("--fps", type=click.IntRange(1, 120), help="Frames per second, at most 50 in a GIF.  [default: 20]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "gif", "webp", "apng", "mp4"]),
    help="Output format. Of RGBA images, mp4 shows transparency over white, and a gif has no half-transparent pixels.  "
    "[default: png; gif with --interpolate]",
)
@click.option(
    "--psi",
    "--truncation",
    type=float,
    help="Style-based or translation: truncation, from 0 (the average) to 1 (none).  [default: 0.7; 1 with --source]",
)
@click.option("--psi-layers", metavar="N|all", help="Style-based: truncate the first N layers.  [default: the model's]")
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Style-based: noise inputs, the same for all images (const), random for each, or none.  [default: const]",
)
@click.option(
    "--mix",
    is_flag=True,
    help="Style-based: make a style-mixing sheet of destinations (left) in styles of sources (top).",
)
@click.option("--sources", metavar="LIST", help="Seeds of the sources of --mix.  [default: 0-4]")
@click.option("--destinations", metavar="LIST", help="Seeds of the destinations of --mix.  [default: 5-7]")
@click.option(
    "--mix-with",
    type=click.IntRange(0),
    metavar="SEED",
    help="Style-based: give every image the style of this seed in the --mix-layers.",
)
@click.option(
    "--mix-layers",
    metavar="coarse|middle|fine|A-B",
    help="Layers that get the source's style: coarse (4-8 px), middle (16-32 px), fine (above), or by number.  "
    "[default: coarse]",
)
@click.option("--out", type=Folder(), help="Output folder.  [default: 'generated' in the run]")
@device_option
@experiments_option
@click.pass_context
def generate(ctx: click.Context, /, run: str | None, **values: Any) -> None:
    """Generate images from a run, a checkpoint or a trained model (see `ganzoo zoo`); from the newest run if none is
    named.

    Writes an image per seed, and a sheet of them. With --interpolate, writes an animation (with --format png, its
    frames), in which each cell of the --grid walks through its share of the seeds. With --mix, writes a style-mixing
    sheet.

    A class-conditional model makes each seed in each --class; the sheet has a row per class. With --interpolate and
    --mix, the classes alternate from seed to seed, so `--class 3,8 --seeds 5,5` walks from one class to another.

    If images have attributes, a seed determines those of its image, as in one of the training images. --attributes sets
    some of them, for all images.

    With --source, a translation model shows each source in a style per --domain and seed, or in the style of each
    --reference. With --interpolate, it walks from style to style. A model without styles translates each source once in
    each of its directions that leads to a --domain.

    The same command always gives the same files.
    """
    translating = bool(values["source"])
    request: Any = (parse_translation_request if translating else parse_request)(values)
    from ganzoo import backend
    from ganzoo.files import output_folder

    plugins = plugin_registry(ctx)

    def prepare(saved: Checkpoint, folder: Path) -> tuple[Checkpoint, Path, Writer]:
        writer = (_translations if translating else _images)(saved, plugins, request, values["device"])
        return saved, folder, writer

    experiments, say = Path(values["experiments"]), partial(click.echo, err=True)
    saved, folder, write = open_checkpoint(run, experiments, plugins, prepare, say)
    with output_folder(folder / "generated" if values["out"] is None else Path(values["out"]), "--out") as out:
        click.echo(f"from {saved.path}")
        with backend.show_compilation("generating"):
            for line in write(out):
                click.echo(line)


Writer = Callable[[Path], Iterable[str]]  # writes to a folder, and yields lines that describe the files


def _images(saved: Any, plugins: Any, request: GenerateRequest, device: str) -> Writer:
    from ganzoo.cli.generate import output
    from ganzoo.sampling.selection import open_generator, sampler_of

    generator, data = open_generator(saved, plugins, request.size, device)
    return partial(output.OUTPUTS[request.kind], sampler_of(saved, generator, request), request, data)


def _translations(saved: Any, plugins: Any, request: TranslateRequest, device: str) -> Writer:
    from ganzoo.cli.generate.translation import write_translations
    from ganzoo.sampling.translation_job import open_translation

    job, translator = open_translation(saved, plugins, request, device)
    return partial(write_translations, job, translator, saved.run.model)
