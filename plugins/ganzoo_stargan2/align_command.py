"""`ganzoo data align`. Light to import: the command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo import DataError, OptionError, data_dir, list_bad

LANDMARKS_SOURCE = "https://www.dropbox.com/s/91fth49gyb7xksk/celeba_lm_mean.npz?dl=1"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where PNGs go.")
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
    help="Mean landmarks of faces.  [default: celeba_lm_mean.npz in the data directory]",
)
@click.option("--size", type=click.IntRange(16, 2048), default=256, show_default=True, help="Side in px.")
def align(folder: Path, out: Path, wing: Path | None, landmarks: Path | None, size: int) -> None:
    """Align the one face in each image of FOLDER.

    A network finds 98 landmarks, and the image is turned, scaled and cropped so that they come nearest to the mean ones
    (least squares), as the faces of CelebA-HQ are. Beyond its edges an image goes on as in a mirror.

    If the command is interrupted, the same one continues it. Unreadable images are listed at the end.
    """
    from ganzoo_stargan2 import WING_SOURCE

    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise OptionError(f"--out {out}: is {folder} itself, or lies in it. Choose a folder elsewhere.")
    weights = _file("--wing", wing, "wing.ckpt", "weights of the landmark network", WING_SOURCE)
    mean = _file("--landmarks", landmarks, "celeba_lm_mean.npz", "mean landmarks of faces", LANDMARKS_SOURCE)

    from ganzoo_stargan2.alignment import align_folder

    made = align_folder(folder, out, weights, mean, size, click.echo)
    list_bad(made.bad, out / "unreadable.txt", "aligned")
    if made.present:
        click.echo(f"{made.present:,} images were there already. Delete them to have them aligned anew.")
    if not made.aligned + made.present:
        raise DataError(f"{folder}: not one of its {len(made.bad):,} images can be aligned.")
    click.echo(f"{out}: {made.aligned:,} faces aligned at {size} px")


def _file(option: str, given: Path | None, name: str, what: str, source: str) -> Path:
    """Return the given file, or `name` in the data directory. OptionError, saying where to get it, if it is missing."""
    path = given or data_dir() / name
    if not path.is_file():
        raise OptionError(
            f"{option}: there is no file {path}, the {what} that faces are aligned with. Get {name} from {source} and "
            f"put it there, or name it with {option}."
        )
    return path
