"""The command `ganzoo data show`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.completion import data_names
from ganzoo.cli.params import labels_option
from ganzoo.data.catalog import open_data
from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import FITS

SUFFIXES = (".png", ".jpg", ".webp")
DEFAULT_P = 0.5


@click.command(short_help="Write a sheet of images of a data set, also augmented ones.")
@click.argument("name_or_path", shell_complete=data_names)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="PNG, JPEG or WebP.  [default: NAME.png]")
@click.option("--size", type=click.IntRange(min=2, max=1024), help="Side in px.  [default: as stored, at most 128]")
@click.option("--fit", type=click.Choice(FITS), help="As in training.  [default: crop, or as the data was prepared]")
@click.option(
    "--augment",
    type=click.Choice(["ada", "diffaugment"]),
    help="Show augmented versions of each image beside it, as `ganzoo train --augment` makes them.",
)
@click.option(
    "--p",
    type=click.FloatRange(0, 1),
    help=f"Probability of each transformation of ada.  [default: {DEFAULT_P}]",
)
@click.option("--flip/--no-flip", default=None, help="As in training.  [default: what the data set allows]")
@labels_option
@click.option("--alpha", is_flag=True, help="Keep transparency while images are scaled and augmented, as in training.")
@click.pass_context
def show(
    ctx: click.Context,
    name_or_path: str,
    out: Path | None,
    size: int | None,
    fit: str | None,
    augment: str | None,
    p: float | None,
    flip: bool | None,
    labels: str | None,
    alpha: bool,
) -> None:
    """Write a sheet of images from all over a data set, with a row for each domain.

    With --augment, each row is an image and augmented versions of it. The sheet shows transparency over white.
    """
    if augment != "ada" and (p is not None or flip is not None):
        raise OptionError(f"{'--flip' if p is None else '--p'} has an effect only with --augment ada.")
    if out is not None and out.suffix not in SUFFIXES:
        raise OptionError(f"--out {out}: the name must end in {', '.join(SUFFIXES)}.")
    dataset = open_data(name_or_path, plugin_registry(ctx), labels=labels, alpha=alpha)
    from ganzoo.data.fitted import with_fit
    from ganzoo.sampling.dataset_sheet import augmented_sheet, dataset_sheet
    from ganzoo.sampling.image_files import save

    if fit is not None:
        dataset = with_fit(dataset, fit)
    path = out or Path(f"{dataset.info.name}{f'-{augment}' if augment else ''}.png")
    if augment is None:
        save(path, dataset_sheet(dataset, size))
    else:
        from ganzoo import backend

        backend.start()
        from ganzoo.interfaces.train_options import TrainOptions
        from ganzoo.training.augmentation.preview import augmented

        fixed_p = (DEFAULT_P if p is None else p) if augment == "ada" else None
        options = TrainOptions(augment=augment, augment_p=fixed_p, flip=flip)
        save(path, augmented_sheet(dataset, lambda images: augmented(images, options, dataset.info), size))
    click.echo(str(path))
    if dataset.info.attributes:
        click.echo(f"attributes: {', '.join(dataset.info.attributes)}")
