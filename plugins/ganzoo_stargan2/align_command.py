"""`ganzoo data align`. Light to import: the command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo import DataError, OptionError, data_dir, list_bad

LANDMARKS_SOURCE = "https://www.dropbox.com/s/91fth49gyb7xksk/celeba_lm_mean.npz?dl=1"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Output folder for the PNGs."
)
@click.option(
    "--wing",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights of the landmark network.  [default: wing.ckpt in the data directory]",
)
@click.option(
    "--landmarks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Mean landmarks to align with.  [default: celeba_lm_mean.npz in the data directory]",
)
@click.option(
    "--size", type=click.IntRange(16, 2048), default=256, show_default=True, help="Side of the aligned images in px."
)
def align(folder: Path, out: Path, wing: Path | None, landmarks: Path | None, size: int) -> None:
    """Align the one face in each image of FOLDER.

    A network finds 98 landmarks, and the image is rotated, scaled and cropped to bring them as close as possible to the
    mean landmarks (least squares), as in CelebA-HQ. Areas outside the original image show its reflection.

    To continue after an interruption, run the same command again. Unreadable images are listed at the end.
    """
    from ganzoo_stargan2.options import WING_SOURCE

    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise OptionError(f"--out {out}: must not be {folder} or a folder inside it.")
    weights = _file("--wing", wing, "wing.ckpt", "weights of the landmark network", WING_SOURCE)
    mean = _file("--landmarks", landmarks, "celeba_lm_mean.npz", "mean landmarks of faces", LANDMARKS_SOURCE)

    from ganzoo_stargan2.alignment import align_folder

    result = align_folder(folder, out, weights, mean, size, click.echo)
    list_bad(result.bad, out / "unreadable.txt", verb="aligned")
    if result.existing:
        click.echo(f"{result.existing:,} images already existed. Delete them to align them again.")
    if not result.aligned + result.existing:
        raise DataError(f"{folder}: none of its {len(result.bad):,} images can be aligned.")
    click.echo(f"{out}: {result.aligned:,} faces aligned at {size} px")


def _file(option: str, given: Path | None, name: str, what: str, source: str) -> Path:
    """Return the given file, or `name` in the data directory. If it is missing, OptionError says where to get it."""
    path = given or data_dir() / name
    if not path.is_file():
        raise OptionError(
            f"{option}: there is no file {path} with the {what}. Get {name} from {source} and "
            f"put it there, or name it with {option}."
        )
    return path
