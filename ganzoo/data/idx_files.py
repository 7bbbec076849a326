"""IDX files, plain or compressed with gzip: the format of MNIST, Fashion-MNIST, KMNIST and EMNIST.

http://yann.lecun.com/exdb/mnist describes the format: two zero bytes, a code of the type, the number of dimensions,
their sizes as big-endian int32, and the values.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ganzoo.data.array_images import ArrayImages
from ganzoo.data.splits import split_files
from ganzoo.errors import DataError, printable, reason
from ganzoo.files import format_bytes

UNSIGNED_BYTE = 8  # the only type of MNIST and its kin
MAX_BYTES = 1 << 32  # limit on the values of a file, which are kept in memory
MAX_DEFLATE = 1100  # a byte of gzip unpacks to 1,032 at most
LABELS = "label"  # name of the annotation
IMAGES_NAME = re.compile(r"(?P<set>.*?)images(?P<middle>[-.]?)idx3-ubyte(?P<gz>\.gz)?", re.IGNORECASE)


class IdxSet(NamedTuple):
    """A file of images, and the file of its labels (None: there is none)."""

    images: Path
    labels: Path | None


def is_idx(path: Path) -> bool:
    """Return whether a file is named like an IDX file of images."""
    return IMAGES_NAME.fullmatch(path.name) is not None


def find_idx(folder: Path) -> list[Path]:
    """Return the IDX files of images directly in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if is_idx(path) and path.is_file())


def open_idx(path: Path, name: str) -> ArrayImages:
    """Open an IDX file of images, with the labels beside it, or a folder of one set of them, such as those of MNIST.
    In a folder, files named t10k-... or test-... are for validation. DataError says what is wrong."""
    files = [path] if path.is_file() else find_idx(path)
    training, validation = split_files(files)
    if len(training) > 1 or len(validation) > 1:
        names = ", ".join(printable(each.name) for each in files)
        raise DataError(f"{path}: several sets of images ({names}). Give the path of one of these files.")
    reopen = partial(open_idx, path, name)
    held_out = _read_set(_with_labels(validation[0]), name, reopen) if validation else None
    return _read_set(_with_labels(training[0]), name, reopen, held_out)


def _with_labels(images: Path) -> IdxSet:
    match = IMAGES_NAME.fullmatch(images.name)
    assert match is not None
    stem = f"{match['set']}labels{match['middle']}idx1-ubyte"
    labels = next((path for name in (stem, f"{stem}.gz") if (path := images.with_name(name)).exists()), None)
    return IdxSet(images, labels)


def _read_set(
    found: IdxSet, name: str, reopen: partial[ArrayImages], held_out: ArrayImages | None = None
) -> ArrayImages:
    images = read_idx(found.images, 3)
    labels = None if found.labels is None else read_idx(found.labels, 1)
    if labels is not None and len(labels) != len(images):
        raise DataError(f"{found.labels}: {len(labels):,} labels for {len(images):,} images in {found.images.name}.")
    origin = f"labels from {printable(found.labels.name)}" if found.labels else "no file of labels beside it"
    note = f"IDX file {printable(found.images.name)}"
    annotations: dict[str, Any] = {} if labels is None else {LABELS: labels}
    return ArrayImages(
        name,
        found.images,
        images[..., None],
        labels,
        reopen,
        [f"{note}, {origin}"],
        held_out,
        labelled_by=LABELS,
        labels_note=f", {origin}",
        annotations=lambda: annotations,
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of bytes with this number of dimensions. DataError says what is wrong with it."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened: Any = gzip.open(path) if packed else path.open("rb")
        with opened as file:
            return _read(path, file, dimensions, path.stat().st_size * (MAX_DEFLATE if packed else 1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: can't be read ({reason(error)}).") from error


def _read(path: Path, file: IO[bytes], dimensions: int, most: int) -> np.ndarray:
    header = file.read(4 + 4 * dimensions)
    if header[:2] != b"\0\0" or len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path}: not an IDX file.")
    if header[2] != UNSIGNED_BYTE or header[3] != dimensions:
        raise DataError(
            f"{path}: an IDX file of type {header[2]} with {header[3]} dimensions, instead of unsigned bytes (type "
            f"{UNSIGNED_BYTE}) with {dimensions}."
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    count = math.prod(shape)
    if count > min(most, MAX_BYTES):
        raise DataError(f"{path}: a damaged IDX file: its header claims {format_bytes(count)} of values.")
    values = file.read(count + 1)
    if len(values) != count:
        found = "more" if len(values) > count else f"only {len(values):,}"
        raise DataError(f"{path}: a damaged IDX file: it should have {count:,} values, but has {found}.")
    return np.frombuffer(values, np.uint8).reshape(shape)
