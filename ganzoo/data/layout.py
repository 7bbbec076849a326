"""Domains and labels of images, derived from their paths or from an LMDB's metadata."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.paths import common_folder, folder_prefix, strip_common_folder
from ganzoo.data.splits import VALIDATION, split_name
from ganzoo.errors import DataError, format_count, printable

MAX_EXTENSIONS = 5  # file extensions that a message about ignored files names


class Listing:
    """The visible files and folders below a root, as paths with '/'.

    `images` are the image files, sorted (with the key function `order`), `others` the other files, `folders` all
    folders, and `non_empty_folders` the folders with a file at any depth.
    """

    def __init__(
        self, files: Iterable[str], folders: Iterable[str] = (), order: Callable[[str], str] | None = None
    ) -> None:
        visible = {path for path in files if not _is_hidden(path)}
        self.images = sorted((path for path in visible if is_image(path)), key=order)
        self.others = sorted(path for path in visible if not is_image(path))
        self.non_empty_folders = _with_parents(_parent(path) for path in visible)
        self.folders = self.non_empty_folders | _with_parents(path for path in folders if not _is_hidden(path))

    def below(self, folder: str) -> list[str]:
        """Return the images in `folder` at any depth."""
        return [path for path in self.images if path.startswith(folder_prefix(folder))]

    def ignored_files(self) -> str | None:
        """Describe the ignored files; None if there are none."""
        return describe_ignored(self.others)

    def children(self, folder: str) -> dict[str, str]:
        """Return the folders directly in `folder`, by name."""
        return {path.rpartition("/")[2]: path for path in self.folders if _parent(path) == folder}


def describe_ignored(files: Sequence[str]) -> str | None:
    """Describe ignored files: their number and extensions, the most frequent first; None if there are none."""
    kinds = Counter(posixpath.splitext(path)[1].lower() or "without extension" for path in files)
    if not kinds:
        return None
    named = [f"{count:,} {kind}" if len(kinds) > 1 else kind for kind, count in kinds.most_common(MAX_EXTENSIONS)]
    more = ", ..." if len(kinds) > MAX_EXTENSIONS else ""
    return f"{format_count(len(files), 'other file')} ignored ({printable(', '.join(named))}{more})"


class Domains(NamedTuple):
    """The names of the domains, sorted, and the folder that contains a subfolder for each of them."""

    names: tuple[str, ...]
    folder: str


def find_domains(listing: Listing, images: Sequence[str], root: str) -> Domains | None:
    """Return the domains of `images`, all of which are in the folder `root`; None if they have no domains.

    1. `set/cat/1.png`, `set/dog/2.png`: if all images are in subfolders of one folder, each subfolder of it is a
       domain, even an empty one.
    2. `set/cat/1.png`, and `set/dog/` is empty: if all images are in one folder that has empty siblings, that folder
       and its siblings are domains. If it has none, its parent folders are tried in turn. A sibling with other
       files doesn't count: given `images/1.png` and `notes/1.txt`, neither `images/` nor `notes/` is a domain.
    """
    folder = common_folder(images)
    relative_paths = strip_common_folder(images)
    if all("/" in path for path in relative_paths):
        names = {path.partition("/")[0] for path in relative_paths}
        return Domains(tuple(sorted({*names, *listing.children(folder)})), folder)
    while folder.strip("/") and folder != root:
        folder, _, own = folder.rpartition("/")
        empty = {name for name, path in listing.children(folder).items() if path not in listing.non_empty_folders}
        empty -= {name for name in empty if split_name(name) in VALIDATION}
        if empty and images[0].startswith(f"{folder_prefix(folder)}{own}/"):
            return Domains(tuple(sorted({own, *empty})), folder)
    return None


def labels_of(images: Sequence[str], domains: Domains) -> np.ndarray:
    """Return the label of each image, int (N,), by its folder. DataError if an image is in no domain's folder."""
    label = {name: index for index, name in enumerate(domains.names)}
    start, known = folder_prefix(domains.folder), ", ".join(domains.names)
    found = []
    for path in images:
        name, separator, _ = path[len(start) :].partition("/")
        if not separator:
            raise DataError(f"{path}: not in a domain's folder; the domains of the training images are {known}.")
        if name not in label:
            raise DataError(f"{start}{name}/: not a domain of the training images ({known}). Remove it.")
        found.append(label[name])
    return np.array(found, np.int64)


def relocate_domains(domains: Domains, old: str, new: str, images: Sequence[str]) -> Domains:
    """Return the domains of the training images, which are in the folder `old`, for the validation `images` in `new`.

    Their folder is the first of these that has all images in subfolders named like the domains: the one at the same
    relative path in `new` as `domains.folder` in `old`; `new` itself; the folders inside `new` that contain all images,
    from the outermost. If no folder fits, `labels_of` raises DataError for the result.
    """
    counterpart = posixpath.join(new, domains.folder[len(folder_prefix(old)) :]).rstrip("/")
    deeper = [folder for folder in _parents(common_folder(images)) if folder.startswith(folder_prefix(new))]
    for folder in (counterpart, new, *reversed(deeper)):
        start = folder_prefix(folder)
        if all(path.startswith(start) and path[len(start) :].partition("/")[0] in domains.names for path in images):
            return domains._replace(folder=folder)
    has_all = all(path.startswith(folder_prefix(counterpart)) for path in images)
    return domains._replace(folder=counterpart if has_all else new)


def domains_from_metadata(metadata: Any, count: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the domains and the labels in an LMDB's metadata. Damaged metadata can raise nearly any exception."""
    names = tuple(str(name) for name in metadata.get("domains") or [])
    if not names:
        return (), None
    labels = metadata["labels"]
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} images")
    if len({*names}) < len(names):
        raise ValueError("a domain is named twice")
    wrong = [label for label in labels if type(label) is not int or label not in range(len(names))]
    if wrong:
        raise ValueError(f"invalid label {wrong[0]!r} for {len(names)} domains")
    return names, np.array(labels, np.int64)


def validation_path(path: Path) -> Path:
    """Return the path of the validation images for the LMDB or file at `path`: NAME-val.lmdb beside NAME.lmdb."""
    absolute = path.absolute()
    suffix = absolute.suffix if absolute.suffix.lower() in (".lmdb", ".mdb", ".zip", ".parquet") else ""
    return path.parent / f"{absolute.name.removesuffix(suffix)}-val{suffix}"


def _is_hidden(path: str) -> bool:
    return any(map(is_hidden, path.split("/")))


def _with_parents(folders: Iterable[str]) -> set[str]:
    return {parent for folder in {*folders} for parent in _parents(folder)}


def _parents(folder: str) -> Iterator[str]:
    """Yield the folder and all its parents, except the root."""
    while folder.strip("/"):
        yield folder
        folder = _parent(folder)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
