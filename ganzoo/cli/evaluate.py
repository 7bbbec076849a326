"""`ganzoo evaluate`: compute metrics of a checkpoint or of a folder of images."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder
from ganzoo.cli.saved import open_saved
from ganzoo.errors import OptionError, UnsupportedByModelError, printable
from ganzoo.files import output_folder
from ganzoo.interfaces.metric import MOST_IMAGES, Metric
from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.metrics.tasks import Task

LARGEST = 2048  # maximum of --size in px: several batches are in memory at once


def _named(backbones: dict[str, Any], usual: str) -> str:
    return f"{'; '.join(f'{each.name}: {each.summary}' for each in backbones.values())}.  [default: {usual}]"


@click.command(short_help="Measure how good the images of a run are.")
@click.argument("run", required=False, metavar="[RUN|CHECKPOINT]")
@click.option(
    "--metrics",
    metavar="LIST",
    help="Which, e.g. fid,kid,pr,ppl; `ganzoo metrics` lists them.  [default: fid,kid,pr; fid,lpips of translations]",
)
@click.option(
    "--samples",
    type=click.IntRange(1, MOST_IMAGES),
    metavar="N",
    help="Images that are generated and judged.  [default: 10,000; of translations, 10 of each image that is kept "
    "for validation, for each pair of domains]",
)
@click.option(
    "--real",
    type=click.IntRange(1, MOST_IMAGES),
    metavar="N",
    help="Real images, at most. With fewer, an FID is higher.  [default: as many as samples, but 1,000 at least; of "
    "translations without --samples, 50,000]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="A first look: 500 samples, of translations 100 for each pair, beside 500 real images, unless --samples or "
    "--real says otherwise.",
)
@click.option(
    "--against", metavar="NAME|PATH", help="Real images: a data set, folder, zip or LMDB.  [default: those trained on]"
)
@click.option(
    "--folders",
    nargs=2,
    metavar="A B",
    help="Judge the images in A by those in B, folders, zips or LMDBs, in place of a checkpoint.",
)
@click.option(
    "--size", type=click.IntRange(1, LARGEST), metavar="PX", help="With --folders: scale all images to this size."
)
@click.option(
    "--mode", type=click.Choice(["latent", "reference"]), help="Of translations: looks from where.  [default: both]"
)
@click.option(
    "--backbone",
    type=click.Choice(list(FEATURES)),
    help="Of fid, kid and pr. " + _named(FEATURES, "an Inception if its weights are there, else efficientnet-lite0"),
)
@click.option(
    "--perceptual",
    type=click.Choice(list(PERCEPTUAL)),
    help="Of lpips and ppl. "
    + _named(PERCEPTUAL, "alexnet for lpips, vgg16 for ppl, if their weights are there, else efficientnet-lite0"),
)
@click.option(
    "--weights",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file of weights of a backbone, recognised by its SHA-256. Can be given several times. Those in the folder "
    "`weights` of the data directory are found by themselves.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of whatever is drawn.")
@click.option(
    "--save-images",
    type=Folder(Path),
    metavar="FOLDER",
    help="Keep the generated images there as PNG, in a folder that is new or empty.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--experiments", type=Folder(), default="experiments", help="Where runs are kept.")
@click.pass_context
def evaluate(ctx: click.Context, /, run: str | None, **values: Any) -> None:
    """Measure how good a run's or a checkpoint's images are; those of the newest run when none is named.

    Everything comes from this machine: without the weights of published metrics, an embedded network stands in, and
    its numbers carry its name; compare them only with numbers of the same network, size and count.

    A model that translates is measured for each ordered pair of domains, in looks of random latents and of reference
    images. The numbers are printed and added, with all that they depend on, to evaluations.jsonl and evaluations.md
    in the run's folder.
    """
    from ganzoo import backend
    from ganzoo.metrics.comparing import STANDARD, STANDARD_TRANSLATING

    if values["folders"] and (run or values["against"] is not None):
        raise OptionError("--folders: it stands in place of a run and of --against. Leave those out.")
    if values["size"] is not None and not values["folders"]:
        raise OptionError("--size: it is for --folders; a checkpoint has its own size.")
    keep = values["save_images"]
    if keep is not None and keep.is_dir() and any(keep.iterdir()):
        raise OptionError(f"--save-images {printable(keep)}: there is something in it already; name a new folder.")
    plugins = plugin_registry(ctx)
    named = None if values["metrics"] is None else plugins.metrics_named(values["metrics"])
    backend.start(values["device"])  # needed to build a checkpoint's networks, which determine what it can do
    task = _task(run, plugins, values)
    with contextlib.nullcontext() if keep is None else output_folder(keep, "--save-images"):
        _evaluate(task, named or plugins.metrics_named(STANDARD_TRANSLATING if task.translating else STANDARD), values)


def _task(run: str | None, plugins: Any, values: dict[str, Any]) -> Task:
    """Return the task: which images to compare with which."""
    from ganzoo.metrics.comparing import MODES
    from ganzoo.metrics.tasks import of_checkpoint, of_folders

    common = {name: values[name] for name in ("samples", "seed", "quick")}
    common |= {"most": values["real"], "say": click.echo}
    if values["folders"]:
        if values["mode"]:
            raise OptionError("--mode: it is for models that translate images.")
        generated, real = values["folders"]
        return of_folders(generated, real, size=values["size"], **common)

    def opened(saved: Checkpoint, folder: Path) -> Task:
        modes = [values["mode"]] if values["mode"] else MODES
        task = of_checkpoint(saved, folder, plugins, against=values["against"], modes=modes, **common)
        if values["mode"] and not task.translating:
            raise UnsupportedByModelError("--mode: it is for models that translate images.")
        click.echo(f"from {saved.path}")
        return task

    return open_saved(run, Path(values["experiments"]), opened)


def _evaluate(task: Task, metrics: Sequence[Metric], values: dict[str, Any]) -> None:
    """Compute the metrics, print them, and save them."""
    from ganzoo import backend
    from ganzoo.metrics.comparing import Networks, compare
    from ganzoo.metrics.report import lines, record, save

    networks = Networks(metrics, task.translating, values["backbone"], values["perceptual"], values["weights"])
    with backend.watch_kernels("evaluating"):
        results = compare(task.comparisons(), networks, values["seed"], click.echo, values["save_images"])
    made = record(task.about, networks, results, values["seed"])
    for line in lines(made):
        click.echo(line)
    if task.folder is not None:
        click.echo(f"added to {save(task.folder, made)}")
