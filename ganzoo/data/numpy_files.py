"""Arrays of images saved by NumPy: .npy, and .npz with labels and validation images, as of Keras and MedMNIST."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ganzoo.data.annotations import LazyAnnotations
from ganzoo.data.array_images import ArrayImages
from ganzoo.data.splits import VALIDATION
from ganzoo.data.zip_storage import open_archive, open_member
from ganzoo.errors import DataError, printable, reason
from ganzoo.files import format_bytes

MAX_BYTES = 1 << 32  # limit on an array in a .npz, which is kept in memory; a .npy is mapped
TRAINING_WORDS = ("train", "training", "")
VALIDATION_WORDS = (*VALIDATION, "testing")
SPLIT_WORDS = {*TRAINING_WORDS, *VALIDATION_WORDS} - {""}
ANNOTATION_KINDS = "biufU"  # of dtypes
EXPECTED = (
    "Images are an array of uint8 (0 to 255), of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4."
)
IMAGE_NAMES = ("images", "image", "x", "imgs", "data", "arr0", "")
LABEL_NAMES = ("labels", "label", "y", "targets", "target", "classes", "arr1")


def open_npy(path: Path, name: str) -> ArrayImages:
    """Open an array of images uint8 (N, H, W), (N, H, W, C) or (N, C, H, W). DataError says what is wrong."""
    try:
        with path.open("rb") as file:
            _read_header(file, path.stat().st_size)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises ValueError, EOFError, SyntaxError, TokenError and more
        raise DataError(f"{path}: not an array of NumPy ({reason(error)}).") from error
    images = _as_images(array)
    if images is None:
        raise DataError(f"{path}: {_describe(array)}. {EXPECTED}")
    return ArrayImages(name, path, images, None, partial(open_npy, path, name), ["array of NumPy"])


def open_npz(path: Path, name: str, labels: str | None = None) -> ArrayImages:
    """Open a .npz with arrays such as `images` and `labels`, or `x_train`, `y_train`, `x_test` and `y_test`. Unless the
    array of labels is named `labels` (None: has any name), it is not used. DataError says what is wrong."""
    try:
        with open_archive(path) as archive:
            members = _members(archive)
            by_role = _roles(members)
            if labels not in (None, _without_split(by_role.get(("training", "labels"), ""))):
                by_role = {role: array for role, array in by_role.items() if role[1] == "images"}
            arrays = {role: _read_member(archive, members[array]) for role, array in by_role.items()}
    except DataError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen types
        raise DataError(f"{path}: not a readable .npz of NumPy ({reason(error)}).") from error
    if ("training", "images") not in by_role:
        raise DataError(f"{path}: no array named like images ({_listed(members)}). {EXPECTED}")
    reopen = partial(open_npz, path, name, labels)
    held_out = None
    if arrays.get(("validation", "images"), np.zeros(0)).size:
        held_out = _part(path, name, by_role, arrays, "validation", reopen)
    return _part(path, name, by_role, arrays, "training", reopen, held_out)


def _part(
    path: Path,
    name: str,
    by_role: Mapping[tuple[str, str], str],
    arrays: Mapping[tuple[str, str], np.ndarray],
    part: str,
    reopen: partial[ArrayImages],
    held_out: ArrayImages | None = None,
) -> ArrayImages:
    array = arrays[part, "images"]
    images = _as_images(array)
    if images is None:
        raise DataError(f"{path}: {by_role[part, 'images']} is {_describe(array)}. {EXPECTED}")
    labels = arrays.get((part, "labels"))
    if labels is not None:
        shown = by_role[part, "labels"]
        known = _without_split(shown)
        others = f"For attributes, use --labels {printable(known)}, (with a comma); to do without, --labels none."
        if labels.size != len(images):
            remedy = f" {others}" if labels.ndim == 2 and len(labels) == len(images) else ""
            raise DataError(f"{path}: {shown} has {labels.size:,} labels for {len(images):,} images.{remedy}")
        if labels.dtype.kind not in "iubU":
            raise DataError(f"{path}: {shown} is {_describe(labels)}, not whole numbers or text. {others}")
        labels = labels.reshape(-1)
    labels_note = "" if labels is None else f", labels from {printable(by_role[part, 'labels'])}"
    return ArrayImages(
        name,
        path,
        images,
        labels,
        reopen,
        [f".npz of NumPy, images from {printable(by_role[part, 'images'])}{labels_note}"],
        held_out,
        labelled_by=_without_split(by_role.get((part, "labels"), "")),
        labels_note=labels_note,
        annotations=partial(_annotations, path, by_role[part, "images"], len(images)),
    )


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of a .npz by name."""
    found = (member for member in archive.infolist() if member.filename.endswith(".npy"))
    return {member.filename.removesuffix(".npy"): member for member in found}


def _annotations(path: Path, images: str, count: int) -> LazyAnnotations:
    """Return the arrays with one row for each of the `count` images in the array `images`, of the same split."""
    readers: dict[str, partial[list[Any]]] = {}
    try:
        with open_archive(path) as archive:
            for name, member in _members(archive).items():
                if name == images or _split_words(name) != _split_words(images):
                    continue
                with suppress(ValueError), open_member(archive, member) as file:  # Python objects, say
                    shape, dtype = _read_header(file, member.file_size)
                    if shape[:1] == (count,) and dtype.kind in ANNOTATION_KINDS and len(shape) < 3:
                        readers[_without_split(name)] = partial(_read_annotation, path, name)
    except Exception as error:  # as in open_npz
        raise DataError(f"{path}: not a readable .npz of NumPy ({reason(error)}).") from error
    return LazyAnnotations(readers)


def _read_annotation(path: Path, name: str) -> list[Any]:
    try:
        with open_archive(path) as archive:
            array = _read_member(archive, _members(archive)[name])
    except Exception as error:  # as in open_npz
        raise DataError(f"{path}: {printable(name)} is not a readable array of NumPy ({reason(error)}).") from error
    return array.reshape(-1).tolist() if array.ndim == 2 and array.shape[1] == 1 else array.tolist()


def _split_words(name: str) -> set[str]:
    """Return the words in an array's name that say to which split it belongs."""
    return {word for word in re.split(r"[\W_]+", name.lower()) if word in SPLIT_WORDS}


def _without_split(name: str) -> str:
    """Return an array's name without the words for its split: 'y' for y_train."""
    words = [word for word in re.split(r"[\W_]+", name) if word.lower() not in SPLIT_WORDS]
    return "_".join(words) or name


def _roles(names: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the names of the arrays by part ('training' or 'validation') and kind ('images' or 'labels')."""
    found: dict[tuple[str, str], str] = {}
    for kind, known in (("images", IMAGE_NAMES), ("labels", LABEL_NAMES)):
        for part, words in (("training", TRAINING_WORDS), ("validation", VALIDATION_WORDS)):
            wanted = [{word, base} - {""} for word in words for base in known]
            matching = {
                wanted.index(tokens): name
                for name in names
                if (tokens := {*re.findall(r"[a-z]+\d?", re.sub("arr_", "arr", name.lower()).replace("_", " "))})
                in wanted
            }
            if matching:
                found[part, kind] = matching[min(matching)]
    if len(names) == 1 and ("training", "images") not in found:
        found["training", "images"] = next(iter(names))
    return found


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.file_size > MAX_BYTES:
        raise ValueError(
            f"{member.filename} has {format_bytes(member.file_size)}; the limit is {format_bytes(MAX_BYTES)}"
        )
    with open_member(archive, member) as file:
        data = file.read(member.file_size + 1)
    _read_header(io.BytesIO(data), len(data))
    array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type of an array. ValueError unless its file of `size` bytes is as long as the header
    says: np.load would otherwise allocate what the header claims."""
    npy: Any = np.lib.format
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not supported")
    shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which could run code")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError("its length differs from that in its header")
    return shape, dtype


def _as_images(array: np.ndarray) -> np.ndarray | None:
    """Return an array as images uint8 (N, H, W, 1, 3 or 4); None if it has another type or shape."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        return None
    if array.ndim == 3:
        return array[..., None]
    for channels in ((1, 3), (4,)):
        if array.shape[3] in channels:
            return array
        if array.shape[1] in channels:
            return array.transpose(0, 2, 3, 1)
    return None


def _describe(array: np.ndarray) -> str:
    return f"an array of {array.dtype}, {array.shape}"


def _listed(names: Mapping[str, Any]) -> str:
    return printable(", ".join(sorted(names)[:8])) or "it is empty"
