"""Images that a user names by file or folder, fitted to a model, each with a unique name for its output files."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ganzoo.data.fitting import padded_area
from ganzoo.data.folder_storage import images_below
from ganzoo.data.headers import SUPPORTED_FORMATS
from ganzoo.data.images import decode, to_array
from ganzoo.errors import DataError, OptionError, format_count, printable, reason
from ganzoo.interfaces.dataset import DataInfo

MAX_NAME_BYTES = 60  # limit for a part of a file name; names have several parts and at most 255 bytes


@dataclass(frozen=True, eq=False)
class InputImage:
    """An image as the model expects it, uint8 (size, size, C), with the part of it that is not padding (left, top,
    right, bottom in px). Its `name` is unique within an `InputImages`."""

    name: str
    path: Path
    pixels: np.ndarray
    area: tuple[int, int, int, int]

    def without_padding(self, image: np.ndarray) -> np.ndarray:
        """Return the part of a translation of this image, uint8 (H, W, C) of any size, that is not padding."""
        left, top, right, bottom = (edge * len(image) // len(self.pixels) for edge in self.area)
        return image[top:bottom, left:right]


class InputImages:
    """The images in files and folders, in the order given (sorted within a folder). Each iteration reads them again.

    Images get the size and channels of `data`, and become square by its `fit`. An unreadable image in a folder is
    reported once and left out. Subfolders with a name in `excluded` are skipped. OptionError, naming the `option`, if a
    path does not exist or a folder has no images; DataError if a file that the user named, or every image, can't be
    read.
    """

    def __init__(self, named: Sequence[str], option: str, data: DataInfo, excluded: Collection[str] = ()) -> None:
        self.data = data
        self.paths = [path for each in named for path in _files(each, option, excluded)]
        self._names = _names(self.paths)
        self._unreadable: set[Path] = set()
        for path in map(Path, named):
            if not path.is_dir():
                self.read(path)
        if next(iter(self), None) is None:
            shown = " ".join(map(printable, named))
            raise DataError(f"{option} {shown}: none of its {format_count(len(self.paths), 'image')} can be read.")

    def __len__(self) -> int:
        """The number of images, without those found unreadable so far."""
        return len(self.paths) - len(self._unreadable)

    def __iter__(self) -> Iterator[InputImage]:
        for path, name in zip(self.paths, self._names):
            if path in self._unreadable:
                continue
            try:
                pixels, area = self._read(path)
            except DataError as error:
                self._unreadable.add(path)
                tqdm.write(f"Left out: {error}", file=sys.stderr)
                continue
            yield InputImage(name, path, pixels, area)

    def read(self, path: Path) -> np.ndarray:
        """Return the pixels of one of `paths`. DataError if it can't be read."""
        return self._read(path)[0]

    def _read(self, path: Path) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """Return the pixels of a file, and the part of them that is not padding."""
        size, fit = self.data.size, self.data.fit
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{printable(path)}: can't be read ({reason(error)}).") from error
        image = decode(data, printable(path))
        try:
            pixels = to_array(image, self.data.channels, size, fit)
        except Exception as error:  # Pillow can't convert every colour mode
            raise DataError(f"{printable(path)}: its colours can't be read ({error}).") from error
        return pixels, padded_area(*image.size, size) if fit == "pad" else (0, 0, size, size)


class LazyImages(Sequence[np.ndarray]):
    """The pixels of all readable images, by index. They are read on access, so they need not fit into memory; the
    last two are cached. `names` and `paths` have the same indices.
    """

    def __init__(self, images: InputImages) -> None:
        found = [(image.name, image.path) for image in images]
        self.names, self.paths = [name for name, _ in found], [path for _, path in found]
        self._read = lru_cache(maxsize=2)(images.read)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        return self._read(self.paths[index])


def _files(named: str, option: str, excluded: Collection[str]) -> list[Path]:
    path = Path(named)
    if not named or not _exists(path):
        raise OptionError(f"{option}: there is no file or folder {printable(named)!r}.")
    if not path.is_dir():
        if not path.is_file():  # a pipe, say: reading it might never end
            raise OptionError(f"{option} {printable(path)}: neither a file nor a folder.")
        return [path]
    found = images_below(path)
    if not found:
        raise OptionError(f"{option} {printable(path)}: no image in this folder ({', '.join(SUPPORTED_FORMATS)}).")
    kept = [each for each in found if not set(each.relative_to(path).parts[:-1]).intersection(excluded)]
    if not kept:
        others = ", ".join(map(printable, excluded))
        raise OptionError(f"{option} {printable(path)}: all images in this folder are in subfolders named {others}.")
    return kept


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long or contains a zero byte
        return False


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a unique name for each file: its stem or, if any stem occurs twice, its path below the common folder."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        folders = [path.parent.absolute() for path in paths]
        common = os.path.commonpath(folders)
        stems = ["-".join([*folder.relative_to(common).parts, stem]) for folder, stem in zip(folders, stems)]
    names = UniqueNames()
    return [names.new(filename_part(stem)) for stem in stems]


class UniqueNames:
    """Unique file names: a name that is taken gets a number."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def new(self, name: str) -> str:
        """Return the name or, if it is taken, the name with -2, -3, ... appended."""
        count = self._taken.get(name, 0) + 1
        free = name if count == 1 else f"{name}-{count}"
        while count > 1 and free in self._taken:
            count += 1
            free = f"{name}-{count}"
        self._taken[name] = count
        self._taken.setdefault(free, 1)
        return free


def filename_part(text: str) -> str:
    """Turn a text into a part of a file name: no characters that file systems refuse, at most MAX_NAME_BYTES bytes."""
    short = os.fsencode(text.replace("/", "-").replace("\0", "-"))[-MAX_NAME_BYTES:]
    return short.decode("utf-8", "ignore") or "image"
