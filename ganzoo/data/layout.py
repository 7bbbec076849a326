"""What the paths in a folder or an archive say of each image's domain."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.parts import VALIDATION, part_of
from ganzoo.data.pyramid import below_wrapper, inside, wrapper
from ganzoo.errors import DataError, counted, printable

KINDS = 5  # of other files that are named


class Listing:
    """The visible files and folders below a root, as paths with '/'.

    `images` are the image files, sorted (by what `order` makes of their paths); `others` are the other files, `folders`
    all folders, and `used` those with any file at any depth.
    """

    def __init__(
        self, files: Iterable[str], folders: Iterable[str] = (), order: Callable[[str], str] | None = None
    ) -> None:
        visible = {path for path in files if not _is_hidden(path)}
        self.images = sorted((path for path in visible if is_image(path)), key=order)
        self.others = sorted(path for path in visible if not is_image(path))
        self.used = _with_parents(_parent(path) for path in visible)
        self.folders = self.used | _with_parents(path for path in folders if not _is_hidden(path))

    def below(self, folder: str) -> list[str]:
        """The images in `folder` at any depth."""
        return [path for path in self.images if path.startswith(inside(folder))]

    def passed_over(self) -> str | None:
        """How many files are no images that are read, and of which kinds, the most frequent first."""
        kinds = Counter(posixpath.splitext(path)[1].lower() or "without a suffix" for path in self.others)
        if not kinds:
            return None
        named = [f"{count:,} {kind}" if len(kinds) > 1 else kind for kind, count in kinds.most_common(KINDS)]
        more = ", ..." if len(kinds) > KINDS else ""
        return f"{counted(len(self.others), 'other file')} ignored ({printable(', '.join(named))}{more})"

    def children(self, folder: str) -> dict[str, str]:
        """The folders in `folder`, by their names."""
        return {path.rpartition("/")[2]: path for path in self.folders if _parent(path) == folder}


class Domains(NamedTuple):
    """The names of the domains, sorted, and the folder in which theirs lie."""

    names: tuple[str, ...]
    folder: str


def find_domains(listing: Listing, keys: Sequence[str], root: str) -> Domains | None:
    """The domains of the images `keys`, all of which lie in the folder `root`; None if there are none.

    The sub-folders that part the images are domains, unless an image lies beside them, and so is every folder beside
    them that holds no image. Images that lie in one folder have domains only if a folder beside it, or beside one
    around it, is empty: that is a domain without images then. (Had it other files, it would not be: of `images/` and
    `notes/`, neither is a domain.)
    """
    folder = wrapper(keys)
    paths = below_wrapper(keys)
    if all("/" in path for path in paths):
        parts = {path.partition("/")[0] for path in paths}
        return Domains(tuple(sorted({*parts, *listing.children(folder)})), folder)
    while folder.strip("/") and folder != root:
        folder, _, own = folder.rpartition("/")
        empty = {name for name, path in listing.children(folder).items() if path not in listing.used}
        empty -= {name for name in empty if part_of(name) in VALIDATION}
        if empty and keys[0].startswith(f"{inside(folder)}{own}/"):
            return Domains(tuple(sorted({own, *empty})), folder)
    return None


def labels_of(keys: Sequence[str], domains: Domains) -> np.ndarray:
    """The label of each image, int (N,), by the folder in which it lies; DataError names one that is no domain's."""
    label = {name: index for index, name in enumerate(domains.names)}
    start, known = inside(domains.folder), ", ".join(domains.names)
    found = []
    for key in keys:
        name, separator, _ = key[len(start) :].partition("/")
        if not separator:
            raise DataError(f"{key}: lies in no domain's folder; the domains of the training images are {known}.")
        if name not in label:
            raise DataError(f"{start}{name}/: the training images have no such domain, but {known}. Remove it.")
        found.append(label[name])
    return np.array(found, np.int64)


def moved(domains: Domains, old: str, new: str, keys: Sequence[str]) -> Domains:
    """The same domains for the images `keys` in another folder: as deep in it as they lie in the old, if all do, else
    in the first folder that wraps all and where they are named so, else directly in it."""
    alike = posixpath.join(new, domains.folder[len(inside(old)) :]).rstrip("/")
    deeper = [folder for folder in _parents(wrapper(keys)) if folder.startswith(inside(new))]
    for folder in (alike, new, *reversed(deeper)):
        start = inside(folder)
        if all(key.startswith(start) and key[len(start) :].partition("/")[0] in domains.names for key in keys):
            return domains._replace(folder=folder)
    return domains._replace(folder=alike if all(key.startswith(inside(alike)) for key in keys) else new)


def described_domains(metadata: Any, count: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The domains and the label of each image by an LMDB's own description; raises nearly anything if it is damaged."""
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
        raise ValueError(f"a label {wrong[0]!r} where there are {len(names)} domains")
    return names, np.array(labels, np.int64)


def validation_path(path: Path) -> Path:
    """Where the validation images of the LMDB at `path` lie: NAME-val.lmdb beside NAME.lmdb."""
    whole = path.absolute()
    suffix = whole.suffix if whole.suffix.lower() in (".lmdb", ".mdb") else ""
    return path.parent / f"{whole.name.removesuffix(suffix)}-val{suffix}"


def _is_hidden(path: str) -> bool:
    return any(map(is_hidden, path.split("/")))


def _with_parents(folders: Iterable[str]) -> set[str]:
    return {parent for folder in {*folders} for parent in _parents(folder)}


def _parents(folder: str) -> Iterator[str]:
    """The folder and all those around it, but for the root."""
    while folder.strip("/"):
        yield folder
        folder = _parent(folder)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
