"""`ganzoo evaluate`: metrics of a checkpoint, or of a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ganzoo.cli import registry
from ganzoo.cli.saved import open_saved
from ganzoo.errors import OptionError
from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL


def _named(backbones: dict[str, Any], usual: str) -> str:
    return f"{'; '.join(f'{each.name}: {each.summary}' for each in backbones.values())}.  [default: {usual}]"


@click.command()
@click.argument("run", required=False, metavar="[RUN|CHECKPOINT]")
@click.option(
    "--metrics",
    metavar="LIST",
    help="Which, e.g. fid,kid,pr,ppl; `ganzoo metrics` lists them.  [default: fid,kid,pr; fid,lpips of translations]",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    help="Images that are generated and judged.  [default: 10,000; of translations, 10 of each image that is kept "
    "for validation, for each pair of domains]",
)
@click.option(
    "--real", type=click.IntRange(1), default=50_000, metavar="N", help="Real images, at most.  [default: 50,000]"
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
@click.option("--size", type=click.IntRange(1), metavar="PX", help="With --folders: scale all images to this size.")
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
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep the generated images there as PNG.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--experiments", type=click.Path(file_okay=False), default="experiments", help="Where runs are kept.")
@click.pass_context
def evaluate(ctx: click.Context, /, run: str | None, **values: Any) -> None:
    """Measure how good a run's or a checkpoint's images are; those of the newest run when none is named.

    Everything comes from this machine: without the weights of published metrics, an embedded network stands in, and
    its numbers carry its name; compare them only with numbers of the same network, size and count.

    A model that translates is measured for each ordered pair of domains, in looks of random latents and of reference
    images. The numbers are printed and added, with all that they depend on, to evaluations.jsonl and evaluations.md
    in the run's folder.
    """
    from ganzoo.metrics.comparing import MODES, STANDARD, STANDARD_TRANSLATING, Networks, compare
    from ganzoo.metrics.report import lines, record, save
    from ganzoo.metrics.tasks import of_checkpoint, of_folders

    if values["folders"] and (run or values["against"]):
        raise OptionError("--folders: it stands in place of a run and of --against. Leave those out.")
    if values["size"] and not values["folders"]:
        raise OptionError("--size: it is for --folders; a checkpoint has its own size.")
    seed, plugins = values["seed"], registry(ctx)
    common = {"samples": values["samples"], "most": values["real"], "seed": seed, "say": click.echo}
    if values["folders"]:
        generated, real = values["folders"]
        task = of_folders(generated, real, size=values["size"], **common)
    else:
        saved, folder = open_saved(run, Path(values["experiments"]), lambda saved, folder: (saved, folder))
        click.echo(f"from {saved.path}")
        modes = [values["mode"]] if values["mode"] else MODES
        task = of_checkpoint(saved, folder, plugins, against=values["against"], modes=modes, **common)
    if values["mode"] and not task.translating:
        raise OptionError("--mode: it is for models that translate images.")
    metrics = plugins.metrics_named(values["metrics"] or (STANDARD_TRANSLATING if task.translating else STANDARD))
    networks = Networks(metrics, task.translating, values["backbone"], values["perceptual"], values["weights"])

    from ganzoo import backend

    backend.start(values["device"])
    with backend.watch_kernels("evaluating"):
        results = compare(task.comparisons(), networks, seed, click.echo, values["save_images"])
    made = record(task.about, networks, results, seed)
    for line in lines(made):
        click.echo(line)
    if task.folder is not None:
        click.echo(f"added to {save(task.folder, made)}")
