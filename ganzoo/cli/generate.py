"""`ganzoo generate`: make images and animations from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import generate_input as texts
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder
from ganzoo.cli.saved import open_saved
from ganzoo.errors import OptionError, UnsuitableError

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint


@click.command(short_help="Make images and animations from a run or checkpoint.")
@click.argument("run", required=False, metavar="[RUN|CHECKPOINT]")
@click.option(
    "--seeds", metavar="LIST", help="Seeds of the latents, e.g. 0-31 or 3,5,8.  [default: 0-31, 0-9 with --source]"
)
@click.option(
    "--source", metavar="IMAGE|FOLDER", multiple=True, help="Translating: what to redraw. Can be given several times."
)
@click.option("--domain", metavar="LIST", help="Translating: into which domains, e.g. cat,dog.  [default: all]")
@click.option(
    "--reference",
    metavar="IMAGE|FOLDER",
    multiple=True,
    help="Translating: images whose look is taken, of one --domain (or in folders named as domains, of which --domain "
    "takes one), in place of the looks of --seeds. Can be given several times.",
)
@click.option("--grid", metavar="RxC", help="Rows and columns of the sheet, e.g. 4x8.")
@click.option("--size", type=int, metavar="PX", help="An earlier resolution, of a model that grew.")
@click.option("--interpolate", is_flag=True, help="An animated walk through the seeds' latents that closes to a loop.")
@click.option(
    "--steps",
    type=click.IntRange(1, 10_000),
    help="Frames from one seed to the next.  [default: 15, from one reference to the next 31]",
)
@click.option(
    "--space",
    type=click.Choice(["z", "w"]),
    help="Where to walk; w is the space of styles.  [default: w if the model is style-based, else z]",
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
    "--psi",
    "--truncation",
    type=float,
    help="Style-based or translating: truncation, from 0, the average look, to 1, none.  "
    "[default: 0.7, 1 with --source]",
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
@click.option("--out", type=Folder(), help="Output folder.  [default: 'generated' in the run]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--experiments", type=Folder(), default="experiments", help="Where runs are kept.")
@click.pass_context
def generate(ctx: click.Context, /, run: str | None, **values: Any) -> None:
    """Generate images from a run or a checkpoint; from the newest run when none is named.

    Writes an image per seed and a sheet of all; with --interpolate an animation, each cell of the --grid walking
    through its share of the seeds (as frames with --format png); with --mix a style-mixing sheet.

    A model that translates redraws each --source: in each --domain with the look of each of the --seeds, or with that
    of each --reference. With --interpolate it walks from look to look.

    The same command always gives the same files.
    """
    translating = bool(values["source"])
    request: Any = (texts.read_translation if translating else texts.read)(values)
    from ganzoo import backend
    from ganzoo.files import output_folder

    def opened(saved: Checkpoint, folder: Path) -> tuple[Checkpoint, Path, Writer]:
        writer = (_translations if translating else _images)(saved, plugin_registry(ctx), request, values["device"])
        return saved, folder, writer

    saved, folder, write = open_saved(run, Path(values["experiments"]), opened)
    with output_folder(folder / "generated" if values["out"] is None else Path(values["out"]), "--out") as out:
        click.echo(f"from {saved.path}")
        with backend.watch_kernels("generating"):
            for line in write(out):
                click.echo(line)


Writer = Callable[[Path], Iterable[str]]  # writes to a folder, and yields lines that describe the files


def _images(saved: Any, plugins: Any, request: texts.Request, device: str) -> Writer:
    from ganzoo import backend
    from ganzoo.checkpoints import loading
    from ganzoo.cli import generate_output

    sizes = loading.trained_sizes(saved, plugins)  # reports an unknown model before Jittor is started
    if request.size not in (None, *sizes):
        raise OptionError(
            f"--size {request.size}: training went through {', '.join(map(str, sizes))} px; choose of these."
        )
    backend.start(device)
    generator = loading.load_generator(saved, plugins, request.size)
    sampler = generate_output.sampler_for(generator, saved.run.model, request)
    size = sizes[-1] if request.size is None else request.size
    return partial(generate_output.OUTPUTS[request.kind], sampler, request, replace(saved.data, size=size))


def _translations(saved: Any, plugins: Any, request: texts.TranslationRequest, device: str) -> Writer:
    from ganzoo import backend
    from ganzoo.checkpoints import loading
    from ganzoo.cli.generate_translation import Job

    model = saved.model(plugins)
    if not model.conditional or not saved.data.domains:  # known without building the model
        raise UnsuitableError(f"--source: {model.name} makes images of latents; it can't redraw any.")
    job = Job(request, saved.data)
    backend.start(device)
    return partial(job.write, loading.load_translator(saved, plugins))
