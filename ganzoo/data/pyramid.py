"""Data sets that hold every image at several sizes: which one to take, and folders named by their size."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Sequence

from ganzoo.data.images import peek
from ganzoo.errors import DataError, printable

SIZES = tuple(2**power for power in range(2, 11))  # px; 4 to 1024, as progressive training goes through them
SAMPLE = 16  # images of a folder whose headers tell whether they have the size that it is named by


def nearest(size: int | None, sizes: Collection[int]) -> int:
    """The smallest of `sizes` that is not below `size`, else the largest; the largest if `size` is None."""
    enough = [side for side in sizes if size is not None and side >= size]
    return min(enough) if enough else max(sizes)


def wrapper(keys: Iterable[str]) -> str:
    """The innermost folder in which all of the keys lie; '' is the root."""
    folders = [key.split("/")[:-1] for key in keys]
    first, last = min(folders), max(folders)  # what these share, all between them share
    shared = next((at for at, (one, other) in enumerate(zip(first, last)) if one != other), len(first))
    return "/".join(first[:shared]) or "/" * shared  # '/' for names that begin with it, as there are in some archives


def below_wrapper(keys: Sequence[str]) -> list[str]:
    """The keys without the folders that wrap everything."""
    start = len(inside(wrapper(keys)))
    return [key[start:] for key in keys]


def inside(folder: str) -> str:
    """What the paths of all that lies in a folder begin with."""
    return f"{folder}/" if folder.strip("/") else folder


def levels(keys: list[str], read: Callable[[str], bytes]) -> dict[int, list[str]]:
    """The keys of each size, in one order, if they are laid out as '128/cat.png', '64/cat.png', ...; else nothing.

    It is so if there are at least two folders, all named by sizes of SIZES with nothing beside them, and a sample of
    the images in each has that size by its header. DataError if they don't hold the same files then: these can't be
    classes, whose images don't have such sizes by chance, but an image is missing somewhere.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for key, path in zip(keys, below_wrapper(keys) if keys else []):
        folder, separator, rest = path.partition("/")
        if not separator:
            return {}
        found.setdefault(folder, []).append((posixpath.splitext(rest)[0], key))
    if len(found) < 2 or not found.keys() <= {str(size) for size in SIZES}:
        return {}
    arranged = {int(folder): sorted(pairs) for folder, pairs in found.items()}
    if not all(_has_size([key for _, key in pairs], size, read) for size, pairs in arranged.items()):
        return {}
    stems = {size: {stem for stem, _ in pairs} for size, pairs in arranged.items()}
    every = set[str]().union(*stems.values())
    for size in sorted(arranged):
        missing = sorted(every - stems[size])
        if missing:
            folders = ", ".join(f"{side}/" for side in sorted(stems))
            raise DataError(
                f"{folders}: one set in several sizes, but {len(missing)} of {len(every)} images are missing in "
                f"{size}/ ({printable(missing[0])} is the first). Add them, or move {size}/ away."
            )
        if len(arranged[size]) > len(every):
            raise DataError(f"{size}/: two images of one name, which differ only in the extension. Remove one of them.")
    return {size: [key for _, key in arranged[size]] for size in sorted(arranged)}


def _has_size(keys: list[str], size: int, read: Callable[[str], bytes]) -> bool:
    """Whether the images in a sample that can be read are `size` px on their shorter side; there must be one."""
    sides = set(_sides(keys[:: max(1, len(keys) // SAMPLE)], read))
    return sides == {size}


def _sides(keys: Iterable[str], read: Callable[[str], bytes]) -> Iterable[int]:
    for key in keys:
        try:
            yield min(peek(read(key), key).size)
        except Exception:  # DataError, or anything that a file system or a zip archive raises
            continue  # whoever loads the image reports it
