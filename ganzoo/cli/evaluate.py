"""`ganzoo evaluate`: compute metrics of a checkpoint or of a folder of images."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli import completion
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder, device_option, experiments_option, run_argument
from ganzoo.errors import OptionError, printable
from ganzoo.files import output_folder
from ganzoo.interfaces.dataset import FITS
from ganzoo.interfaces.metric import MAX_IMAGES
from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.metrics.tasks import Task

MAX_SIZE = 2048  # maximum of --size in px: several batches are in memory at once


def _summaries(backbones: dict[str, Any], default: str) -> str:
    return f"{'; '.join(f'{each.name}: {each.summary}' for each in backbones.values())}.  [default: {default}]"


@click.command(short_help="Compute FID and other metrics of a run or checkpoint.")
@run_argument
@click.option(
    "--metrics",
    metavar="LIST",
    shell_complete=completion.metric_names,
    help="Metrics to compute, e.g. fid,kid,pr,ppl; `ganzoo metrics` lists them.  [default: fid,kid,pr; for translation "
    "fid,lpips]",
)
@click.option(
    "--samples",
    type=click.IntRange(1, MAX_IMAGES),
    metavar="N",
    help="Number of images to generate.  [default: 10,000; for translation, 10 per validation image and pair of "
    "domains]",
)
@click.option(
    "--real",
    type=click.IntRange(1, MAX_IMAGES),
    metavar="N",
    help="Maximum number of real images. With fewer, an FID is higher.  [default: as many as --samples, but at least "
    "1,000; for translation without --samples, 50,000]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="A rough estimate: 500 samples (for translation 100 per pair of domains) and 500 real images, unless "
    "--samples or --real is given.",
)
@click.option(
    "--against",
    metavar="NAME|PATH",
    shell_complete=completion.data_names,
    help="Real images: a data set, folder, zip or LMDB.  [default: the training data]",
)
@click.option(
    "--folders",
    nargs=2,
    metavar="A B",
    help="Compare the images in A with the real ones in B (folders, zips or LMDBs), instead of a checkpoint.",
)
@click.option(
    "--size", type=click.IntRange(1, MAX_SIZE), metavar="PX", help="With --folders: scale all images to this size."
)
@click.option(
    "--fit",
    type=click.Choice(FITS),
    help="With --folders and --size: how images become square, as in `ganzoo train`.  [default: crop, or as an LMDB "
    "was prepared]",
)
@click.option(
    "--mode",
    type=click.Choice(["latent", "reference"]),
    help="Translation only: use styles from random latents or from reference images.  [default: both]",
)
@click.option(
    "--per-class",
    is_flag=True,
    help="Class-conditional only: measure each class by itself, with --samples images each.",
)
@click.option(
    "--backbone",
    type=click.Choice(list(FEATURES)),
    help="Backbone for fid, kid and pr. "
    + _summaries(FEATURES, "an Inception if its weights are found, else efficientnet-lite0"),
)
@click.option(
    "--perceptual",
    type=click.Choice(list(PERCEPTUAL)),
    help="Network for lpips and ppl. "
    + _summaries(PERCEPTUAL, "alexnet for lpips, vgg16 for ppl, if their weights are found, else efficientnet-lite0"),
)
@click.option(
    "--weights",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the weights of a backbone, recognised by its SHA-256. Can be given several times. Files in the "
    "folder `weights` of the data directory are found automatically.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.", show_default=True)
@click.option(
    "--save-images",
    type=Folder(Path),
    metavar="FOLDER",
    help="Save the generated images as PNG to FOLDER, which must be new or empty.",
)
@device_option
@experiments_option
@click.pass_context
def evaluate(ctx: click.Context, /, run: str | None, **values: Any) -> None:
    """Compute metrics of a run or a checkpoint; of the newest run if none is named.

    Nothing is downloaded: without the weights that published metrics use, a built-in network is used, and its name is
    shown with each number. Compare only numbers of the same network, image size and number of images.

    A class-conditional model generates each class as often as the data has it. A model that translates images is
    measured for each ordered pair of domains, with styles from random latents and from reference images.

    Images with transparency are drawn over white.

    The numbers are printed, and added to evaluations.jsonl and evaluations.md in the run's folder, with everything they
    depend on.
    """
    from ganzoo import backend
    from ganzoo.metrics.report import lines, save
    from ganzoo.metrics.tasks import measure

    if values["folders"] and (run or values["against"] is not None):
        raise OptionError("--folders: can't be combined with a run or --against.")
    if values["size"] is not None and not values["folders"]:
        raise OptionError("--size: only valid with --folders; a checkpoint determines its own size.")
    if values["fit"] is not None and values["size"] is None:
        raise OptionError("--fit: only valid with --folders and --size; a checkpoint determines its own.")
    image_folder = values["save_images"]
    if image_folder is not None and image_folder.is_dir() and any(image_folder.iterdir()):
        raise OptionError(f"--save-images {printable(image_folder)}: the folder is not empty; choose a new one.")
    plugins = plugin_registry(ctx)
    named = None if values["metrics"] is None else plugins.metrics_named(values["metrics"])
    backend.start(values["device"])  # _task builds the checkpoint's networks, to see what they can do
    task = _task(run, plugins, values)
    with contextlib.nullcontext() if image_folder is None else output_folder(image_folder, "--save-images"):
        record = measure(
            task,
            named or plugins.metrics_named(task.standard_metrics),
            backbone=values["backbone"],
            perceptual=values["perceptual"],
            weights=values["weights"],
            seed=values["seed"],
            log=click.echo,
            image_folder=image_folder,
        )
    for line in lines(record):
        click.echo(line)
    if task.folder is not None:
        click.echo(f"added to {save(task.folder, record)}")


def _task(run: str | None, plugins: Any, values: dict[str, Any]) -> Task:
    """Return the task: which images to compare with which."""
    from ganzoo.metrics.tasks import checkpoint_task, folders_task

    common = {name: values[name] for name in ("samples", "seed", "quick")}
    common |= {"max_real": values["real"], "log": click.echo}
    if values["folders"]:
        if values["mode"]:
            raise OptionError("--mode: only valid for models that translate images.")
        if values["per_class"]:
            raise OptionError("--per-class: only valid for class-conditional models.")
        generated, real = values["folders"]
        return folders_task(generated, real, size=values["size"], fit=values["fit"], **common)

    def make_task(saved: Checkpoint, folder: Path) -> Task:
        chosen = {name: values[name] for name in ("against", "mode", "per_class")}
        task = checkpoint_task(saved, folder, plugins, **chosen, **common)
        click.echo(f"from {saved.path}")
        return task

    return open_checkpoint(run, Path(values["experiments"]), plugins, make_task, partial(click.echo, err=True))
