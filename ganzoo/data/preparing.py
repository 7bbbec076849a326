"""Conversion of images of any size to an LMDB with each image at several sizes, for progressive training, or to a zip
archive or a Parquet file of one size, for other programs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ganzoo.data.array_images import ArrayImages
from ganzoo.data.file_builder import FileBuilder, build_file
from ganzoo.data.file_formats import check_file_format, explain_labels, file_annotations, file_format
from ganzoo.data.fitted import with_fit
from ganzoo.data.fitting import fit_image
from ganzoo.data.images import to_image
from ganzoo.data.labelling import LabelledImages
from ganzoo.data.layout import validation_path
from ganzoo.data.lmdb_annotations import annotation_entries, attribute_entries
from ganzoo.data.lmdb_builder import LmdbBuilder, PreparedImage, build_lmdb, check_absent
from ganzoo.data.lmdb_storage import LmdbStorage
from ganzoo.data.lmdb_writer import PNG_LEVEL, stored_size
from ganzoo.data.pyramid import SIZES
from ganzoo.data.storage import StoredImages
from ganzoo.data.workers import parallel_map
from ganzoo.data.wrapped import WrappedDataset
from ganzoo.data.zip_writer import ZipBuilder
from ganzoo.errors import DataError, OptionError, format_count, printable
from ganzoo.files import atomic_path, format_bytes, output_folder
from ganzoo.interfaces.dataset import Dataset
from ganzoo.progress_bars import progress_bar

JPEG_QUALITY = 100  # as in the reference implementation
MIN_DEFAULT_SIZE = 8  # px; the smallest default size
HEADER_SAMPLE = 2000  # images whose headers are read to choose the default sizes
SPACE_SAMPLE = 32  # images prepared beforehand to estimate the disk space needed
CHUNK_PIXELS = 2048  # px; a worker gets CHUNK_PIXELS // (largest size) images at a time, but between 1 and 16
BAR = {"unit": "img", "leave": False, "disable": None, "delay": 1}  # options of tqdm

Say = Callable[[str], None]
# Maps lists of indices to results.
MapFunction = Callable[[Iterable[Sequence[int]]], Iterator[list[PreparedImage | str]]]


@dataclass
class Summary:
    """Result of `prepare`: an LMDB or file of `bytes` bytes at `path` with `count` images at `sizes` px, and in `bad` a
    message for each unreadable image. `images_per_second` is the speed of this call only, which may have resumed
    another one. `validation` is the summary of the validation images, if this call wrote them."""

    path: Path
    count: int
    sizes: tuple[int, ...]
    bytes: int
    images_per_second: float
    bad: list[str] = field(default_factory=list)
    validation: Summary | None = None


def parse_sizes(text: str) -> tuple[int, ...]:
    """Parse '8-128', '64' or '8,32,128' into ascending powers of two from 4 to 1024; OptionError for anything else."""
    ranged = re.fullmatch(r"\s*(\d{1,4})\s*-\s*(\d{1,4})\s*", text, re.ASCII)
    if ranged:
        ends = [int(ranged[1]), int(ranged[2])]
        found = [size for size in SIZES if ends[0] <= size <= ends[1]]
    elif re.fullmatch(r"\s*\d{1,4}\s*(,\s*\d{1,4}\s*)*", text, re.ASCII):
        ends = found = sorted({int(size) for size in text.split(",")})
    else:
        ends = found = []
    if not found or not {*ends} <= {*SIZES}:
        raise OptionError(f"--sizes {text}: give powers of two from 4 to 1024, as in 8-128, 64 or 8,32,128.")
    return tuple(found)


def suggest_sizes(dataset: Dataset, path: Path) -> tuple[tuple[int, ...], str]:
    """Return the default sizes for a data set that is stored at `path`, and a text that explains them."""
    sides = sorted(dataset.shorter_sides(HEADER_SAMPLE))
    middle = sides[len(sides) // 2]
    sizes = default_sizes(middle)
    if file_format(path) is not None:
        sizes = sizes[-1:]
    sampled = 1 < len(sides) < len(dataset)  # a data set of one size gives only one side
    which = f"a sample of {len(sides):,} of its images" if sampled else "its images"
    share = "all" if sides[0] == middle else "half"
    reach = f" ({sides[0]} to {sides[-1]} px)" if sides[0] < sides[-1] else ""
    why = f"{share} of {which} are at least {middle} px on the shorter side{reach}"
    return sizes, f"--sizes {','.join(map(str, sizes))}, as {why}"


def default_sizes(side: int) -> tuple[int, ...]:
    """Return the powers of two from 8 to `side` px, up to 1024; only 4 if `side` is less than 8."""
    return tuple(size for size in SIZES if MIN_DEFAULT_SIZE <= size <= side) or SIZES[:1]


def prepare(
    dataset: Dataset,
    path: Path,
    sizes: Sequence[int],
    *,
    lossless: bool = False,
    flip: bool | None = None,
    fit: str | None = None,
    workers: int | None = None,
    say: Say = lambda line: None,
) -> Summary:
    """Write every image of `dataset` at each of `sizes` (px, powers of two) into an LMDB at `path`, or at one size into
    a zip archive in the layout of StyleGAN3 (`path` ends in .zip) or a Parquet file for Hugging Face's `datasets`
    (.parquet).

    Each size is scaled (Lanczos) from the original, unless the source stores the image at that size. Images are made
    square by `fit` (see `DataInfo`; None: as the data set says), and saved as JPEG of quality 100, or as PNG if
    `lossless`, with transparency or in a zip archive. `flip` says whether training may mirror the images (None: as the
    data set says). Annotations and attributes are stored too; attributes in a zip archive only if there are no labels.
    Unreadable images are skipped and listed in the result.

    If the data set has validation images, they are written first, to NAME-val.lmdb beside NAME.lmdb, so that both are
    complete once NAME.lmdb exists.

    After an interruption or a crash, the same call resumes an LMDB; of other files, nothing is left behind. DataError
    if `path` exists, the disk is too small, most images are unreadable, or nothing can be written. OptionError if
    several sizes are given for a file of one size, or if `fit` is not that of a prepared set.
    """
    kind = file_format(path)
    if kind is not None:
        check_file_format(path, sizes)
    if fit is not None:
        dataset = with_fit(dataset, fit)
    lossless = lossless or kind is ZipBuilder or dataset.info.channels == 4
    explain_labels(dataset, path, say)
    validation = dataset.validation()
    validation_lmdb = validation_path(path)
    check_absent(path)
    if validation is None and validation_lmdb.exists():
        raise DataError(
            f"{validation_lmdb}: already exists and would be used as the validation images of {path.name}, but "
            f"{dataset.info.name} has none. Delete it first, or choose another name."
        )

    def describe(images: Dataset) -> _Description:
        return _Description(images, tuple(sizes), lossless, flip)

    if kind is not None:
        return _prepare_files(kind, path, dataset, validation, describe, workers, say)
    summary = None
    if validation is not None:
        say(f"writing validation images to {validation_lmdb}")
        try:
            summary = _prepare(validation, validation_lmdb, describe(validation), workers, say)
        except DataError:
            if not describe(validation).matches(validation_lmdb):
                raise
            say(f"{validation_lmdb}: is already complete")
        say(f"writing training images to {path}")
    return replace(_prepare(dataset, path, describe(dataset), workers, say), validation=summary)


def _prepare(dataset: Dataset, path: Path, description: _Description, workers: int | None, say: Say) -> Summary:
    """Write one LMDB: the training or the validation images."""
    with build_lmdb(path, description.plan, say) as builder:
        speed = _fill(builder, dataset, path, description, workers, say)
        entries = description.entries(builder.skipped, say)
        builder.finish(description.metadata(builder.labels), description.names(builder.skipped), entries)
    size = sum(file.stat().st_size for file in path.iterdir())
    return Summary(path, len(builder.labels), description.sizes, size, speed, builder.bad)


def _prepare_files(
    kind: type[FileBuilder],
    path: Path,
    dataset: Dataset,
    validation: Dataset | None,
    describe: Callable[[Dataset], _Description],
    workers: int | None,
    say: Say,
) -> Summary:
    """Write a zip archive or a Parquet file, and one for the validation images; they appear when both are complete."""

    annotations = file_annotations(kind, dataset, validation, say)

    def write(images: Dataset, to: Path, temporary: Path) -> Summary:
        description, columns = describe(images), annotations[0 if images is dataset else -1]
        with build_file(kind, to, temporary, images, description.fixed_metadata, columns) as builder:
            speed = _fill(builder, images, to, description, workers, say)
        size = temporary.stat().st_size
        return Summary(to, len(builder.labels), description.sizes, size, speed, builder.bad)

    with ExitStack() as stack:
        stack.enter_context(output_folder(path.parent, "--out"))
        temporary = stack.enter_context(atomic_path(path))
        summary = None
        if validation is not None:
            held_out = validation_path(path)
            check_absent(held_out)
            say(f"writing validation images to {held_out}")
            summary = write(validation, held_out, stack.enter_context(atomic_path(held_out)))  # renamed before `path`
            say(f"writing training images to {path}")
        return replace(write(dataset, path, temporary), validation=summary)


def _fill(
    builder: LmdbBuilder | FileBuilder,
    dataset: Dataset,
    path: Path,
    description: _Description,
    workers: int | None,
    say: Say,
) -> float:
    """Add all images that the builder lacks, and return how many it got per second."""
    preparer = ImagePreparer(dataset, description.sizes, description.lossless)
    chunk = max(1, min(16, CHUNK_PIXELS // max(description.sizes)))
    with _without_warnings():
        done, start = builder.done, time.monotonic()  # done by an earlier call
        if done:
            if isinstance(builder, LmdbBuilder):
                _check_labels(dataset, builder)
            say(f"resuming at image {done:,} of {len(dataset):,}")
        left = [range(start, min(start + chunk, len(dataset))) for start in range(done, len(dataset), chunk)]
        if len(left) < 2:
            workers = 1
        with parallel_map(preparer, workers) as prepare_images:
            entry_size = stored_size if isinstance(builder, LmdbBuilder) else len
            _check_space(path, description.plan, done, prepare_images, entry_size, say)
            with progress_bar(total=len(dataset), initial=done, desc="preparing", **BAR) as bar:
                for results in prepare_images(left):
                    builder.add(results)
                    bar.update(len(results))
                    if 2 * len(builder.bad) > len(dataset):
                        break
    if 2 * len(builder.bad) > len(dataset):
        builder.discard = True
        raise _too_many_bad(dataset, builder)
    return (len(dataset) - done) / max(time.monotonic() - start, 1e-9)


def _check_labels(dataset: Dataset, builder: LmdbBuilder) -> None:
    """Raise DataError if the images that an earlier call added have other labels now."""
    if isinstance(dataset, (StoredImages, ArrayImages, WrappedDataset)):  # others may have to load images for them
        skipped = set(builder.skipped)
        labels = dataset.labels()[: builder.done].tolist()
        if [label for index, label in enumerate(labels) if index not in skipped] != builder.labels:
            raise DataError(
                f"{builder.folder}: contains an unfinished preparation with other labels. Repeat that command to "
                "finish it, or delete this folder to start over."
            )


def _too_many_bad(dataset: Dataset, builder: LmdbBuilder | FileBuilder) -> DataError:
    images = f"its {format_count(len(dataset), 'image')}"
    bad = f"{len(builder.bad):,}"
    if len(builder.bad) == len(dataset):
        return DataError(f"{dataset.info.name}: none of {images} can be read. {builder.bad[0]}")
    if builder.done < len(dataset):
        bad += f" of the first {builder.done:,}"
    return DataError(
        f"{dataset.info.name}: {bad} of {images} can't be read, so nothing was written. `ganzoo data check` lists "
        f"them; repair or remove them. The first: {builder.bad[0]}"
    )


class _Description:
    """Description of a prepared set: a plan that identifies it while it is unfinished, and the metadata that ganzoo
    adds to the reference layout when it is finished."""

    def __init__(self, dataset: Dataset, sizes: tuple[int, ...], lossless: bool, flip: bool | None) -> None:
        self.sizes, self.lossless, self._dataset = sizes, lossless, dataset
        info = dataset.info
        self.plan = {"sizes": list(sizes), "lossless": lossless, "channels": info.channels, "images": len(dataset)}
        self.plan["format"] = 2  # of the temporary entries
        self.plan["source"] = _fingerprint(dataset)
        if isinstance(dataset, LabelledImages) and dataset.labelled_by:
            self.plan["labels"] = dataset.labelled_by
        fit = {} if info.fit == "crop" else {"fit": info.fit}  # as earlier versions described what they cropped
        self.plan.update(fit)
        self.fixed_metadata = {"source": info.name, "sizes": list(sizes), "lossless": lossless, **fit}
        self.fixed_metadata["flip"] = info.flip if flip is None else flip
        if info.channels == 4:
            self.fixed_metadata["channels"] = 4
        self.fixed_metadata["plan"] = hashlib.sha256(json.dumps(self.plan, sort_keys=True).encode()).hexdigest()
        if info.domains:
            self.fixed_metadata["domains"] = list(info.domains)

    def metadata(self, labels: Sequence[int]) -> dict[str, Any]:
        """Return the metadata entry of an LMDB whose images have these labels."""
        described = {**self.fixed_metadata, "count": len(labels)}
        return {**described, "labels": list(labels)} if "domains" in described else described

    def names(self, skipped: Collection[int]) -> list[str] | None:
        """Return the names of all images within their domains, except the skipped ones; None if they have none."""
        if not self._dataset.info.domains:
            return None
        try:
            names = self._dataset.names()
        except DataError:
            return None
        skipped = set(skipped)
        return [name for index, name in enumerate(names) if index not in skipped]

    def entries(self, skipped: Collection[int], say: Say) -> dict[bytes, bytes]:
        """Return the entries for annotations and attributes of all images, except the skipped ones."""
        skipped = set(skipped)
        return annotation_entries(self._dataset, skipped, say) | attribute_entries(self._dataset, skipped)

    def matches(self, path: Path) -> bool:
        """Return whether `path` is a finished LMDB with this description."""
        try:
            found = LmdbStorage(path).metadata if path.exists() else {}
        except DataError:
            return False
        return {name: value for name, value in found.items() if name not in ("count", "labels")} == self.fixed_metadata


class ImagePreparer:
    """A function that prepares images, given their indices; picklable, so that worker processes can run it."""

    def __init__(self, dataset: Dataset, sizes: tuple[int, ...], lossless: bool) -> None:
        self.dataset, self.sizes, self.lossless = dataset, sizes, lossless
        stored = {size: dataset.at_size(size) for size in sizes}
        self.stored = {size: at for size, at in stored.items() if at is not dataset and at.info.size == size}

    def __call__(self, indices: Sequence[int]) -> list[PreparedImage | str]:
        return [self._prepare(index) for index in indices]

    def _prepare(self, index: int) -> PreparedImage | str:
        channels, fit = self.dataset.info.channels, self.dataset.info.fit
        try:
            pixels, label = self.dataset.load(index)
            original = to_image(pixels, channels)
            stored = {size: to_image(at.load(index)[0], channels) for size, at in self.stored.items()}
        except DataError as error:
            return str(error)
        return [self._encode(fit_image(stored.get(size, original), size, fit)) for size in self.sizes], label

    def _encode(self, image: Image.Image) -> bytes:
        """Encode as PNG if `lossless`, else as JPEG of quality 100 without chroma subsampling (4:4:4)."""
        buffer = io.BytesIO()
        if self.lossless:
            image.save(buffer, "png", compress_level=PNG_LEVEL)
        else:
            image.save(buffer, "jpeg", quality=JPEG_QUALITY, subsampling=0)
        return buffer.getvalue()


def format_sizes(sizes: Sequence[int]) -> str:
    return f"{', '.join(map(str, sizes))} px"


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings about images that it can read anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _fingerprint(dataset: Dataset) -> str:
    """Return a hash that identifies a list of images, independent of how their path is written."""
    path = getattr(dataset, "path", None)
    prefix = printable(path) if path else ""
    digest = hashlib.sha256(os.fsencode(path.resolve()) if path else b"")
    for index in range(len(dataset)):
        described = dataset.describe(index).removeprefix(prefix)
        digest.update(described.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _check_space(
    path: Path,
    plan: dict[str, Any],
    done: int,
    prepare_images: MapFunction,
    entry_size: Callable[[bytes], int],
    say: Say,
) -> None:
    """Estimate the disk space needed from a sample of the images, and report it; DataError if too little is free."""
    count = plan["images"]
    sample = range(0, count, max(1, count // SPACE_SAMPLE))
    prepared = [results[0] for results in prepare_images([[index] for index in sample])]
    files = [data for result in prepared if not isinstance(result, str) for data in result[0]]
    per_image, free = sum(map(entry_size, files)) / len(sample), shutil.disk_usage(path.parent).free
    where = f"{format_count(count, 'image')} at {format_sizes(plan['sizes'])}"
    say(f"about {format_bytes(per_image * count)} for {where}; {format_bytes(free)} free")
    need = per_image * (count - done)
    if need > free:
        raise DataError(
            f"{path}: needs about {format_bytes(need)}, but only {format_bytes(free)} are free. Choose another disk "
            "or fewer sizes."
        )
