"""Data sets with every image at several sizes: choosing a size, and recognising folders named by their size."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable

from ganzoo.data.images import peek
from ganzoo.data.paths import strip_common_folder
from ganzoo.errors import DataError, printable

SIZES = tuple(2**power for power in range(2, 11))  # px; 4 to 1024, the resolutions of progressive training
SAMPLE = 16  # images in each folder, whose headers are compared with the size in the folder's name


def choose_size(size: int | None, sizes: Collection[int]) -> int:
    """Return the smallest of `sizes` that is at least `size`; the largest if there is none or `size` is None."""
    enough = [side for side in sizes if size is not None and side >= size]
    return min(enough) if enough else max(sizes)


def find_sizes(keys: list[str], read: Callable[[str], bytes]) -> dict[int, list[str]]:
    """Return the keys of each size, in the same order, if they are laid out as '128/cat.png', '64/cat.png', ...;
    otherwise an empty dict.

    This layout has at least two folders, all named by a size in SIZES, with nothing beside them, and the headers of a
    sample of each folder's images agree with the folder's size. DataError if such folders don't contain the same files:
    an image must be missing, since the images of mere classes wouldn't have exactly these sizes by chance.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for key, path in zip(keys, strip_common_folder(keys) if keys else []):
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
    all_stems = set[str]().union(*stems.values())
    for size in sorted(arranged):
        missing = sorted(all_stems - stems[size])
        if missing:
            folders = ", ".join(f"{side}/" for side in sorted(stems))
            raise DataError(
                f"{folders}: these folders hold one data set at several sizes, but {len(missing)} of {len(all_stems)} "
                f"images are missing from {size}/ (the first: {printable(missing[0])}). Add them, or move {size}/ away."
            )
        if len(arranged[size]) > len(all_stems):
            raise DataError(f"{size}/: two images have the same name and differ only in their extension. Remove one.")
    return {size: [key for _, key in arranged[size]] for size in sorted(arranged)}


def _has_size(keys: list[str], size: int, read: Callable[[str], bytes]) -> bool:
    """Return whether all readable images in a sample are `size` px on their shorter side; False if none is readable."""
    sides = set(_sides(keys[:: max(1, len(keys) // SAMPLE)], read))
    return sides == {size}


def _sides(keys: Iterable[str], read: Callable[[str], bytes]) -> Iterable[int]:
    for key in keys:
        try:
            yield min(peek(read(key), key).size)
        except Exception:  # DataError, or any error of a file system or a zip archive
            continue  # reported when the image is loaded
