"""Images in the files of a folder or a zip archive, and what every storage of images is.

Everything here can be pickled, so that other processes can read the same images.
"""

from __future__ import annotations

import io
import os
import posixpath
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import numpy as np

from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.layout import Listing, Split, find_domains, labels_of, moved, split
from ganzoo.data.pyramid import levels, nearest, wrapper
from ganzoo.errors import DataError
from ganzoo.text import printable

LARGEST = 256 << 20  # bytes of a file: a picture without compression, of as many pixels as Pillow takes for safe
PATHS = 1 << 30  # characters of the paths of all folders around all files of an archive
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # Python unpacks others without a bound

Same = TypeVar("Same", bound="Storage")


class Storage(ABC):
    """Keys in a fixed order, the bytes behind each, the names of the domains, and the label of each key (None: the
    set has no domains).

    Where every image is stored at several `sizes`, the keys are those of one `size`.
    """

    path: Path
    keys: list[str]
    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    metadata: dict[str, Any] = {}
    sizes: Sequence[int] = ()
    size: int | None = None

    def files(self) -> Iterable[Path]:
        """The files on the disk that the images lie in."""
        return [self.path]

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of one image file. Called from several threads at once; may raise anything."""

    def at_size(self, size: int) -> Storage:
        """The same images at the nearest of several sizes, or this storage itself."""
        if not self.sizes or nearest(size, self.sizes) == self.size:
            return self
        other = self._twin()
        other._use(size)
        return other

    def unlabelled(self: Same) -> Same:
        """The same images without domains."""
        other = self._twin()
        other.domains, other.labels = (), None
        return other

    def _twin(self: Same) -> Same:
        """Another of the same; not a copy, which would open the files anew."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @abstractmethod
    def validation(self) -> Storage | None:
        """The images kept for validation, with the same domains; DataError if they don't fit these."""

    @abstractmethod
    def _use(self, size: int | None) -> None:
        """Set `size` and `keys` to the nearest of several sizes, or to the largest."""


class FileStorage(Storage):
    """Image files under paths. What the folders mean is told by `pyramid.levels` and `layout`: each image at a size,
    training and validation, domains, or nothing."""

    def _arrange(self, listing: Listing, size: int | None) -> None:
        self._parts = split(listing)
        self._validation = listing.below(self._parts.validation) if self._parts.validation else []
        root = self._take(listing.below(self._parts.training), self._parts.training, size)
        self._found = find_domains(listing, self.keys, root) if self.keys else None
        if self._found:
            self.domains, self.labels = self._found.names, labels_of(self.keys, self._found)
        self._root = root

    def _take(self, keys: list[str], folder: str, size: int | None) -> str:
        """Hold these images; the folder in which all lie, that of a size within `folder` if there are several."""
        self.keys, self.size = keys, None
        self._levels = levels(keys, self.read)
        self.sizes = tuple(self._levels)
        if not self.sizes:
            return folder
        above = wrapper(keys)
        self._use(size)
        return posixpath.join(above, str(self.size))

    def _use(self, size: int | None) -> None:
        self.size = nearest(size, self.sizes)
        self.keys = self._levels[self.size]

    def validation(self) -> Storage | None:
        if not self._parts.validation:
            return None
        other = self._twin()
        other._parts, other._validation, other.labels = Split(self._parts.validation, None), [], None
        try:
            root = other._take(self._validation, self._parts.validation, self.size)
            if self.domains and self._found:
                other.labels = labels_of(other.keys, moved(self._found, self._root, root, other.keys))
        except DataError as error:
            raise DataError(f"{printable(self.path)}: {printable(str(error))}") from error
        return other


class FolderStorage(FileStorage):
    """Images anywhere below a folder, links followed."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._arrange(_listing(path), size)

    def files(self) -> Iterable[Path]:
        return (self.path / key for key in self.keys)

    def read(self, key: str) -> bytes:
        path = self.path / key
        if path.exists() and not path.is_file():  # a pipe, say, which would never end
            raise OSError("not a regular file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            refuse_larger(size)
            return file.read(size)


class ZipStorage(FileStorage):
    """The same, inside a zip archive."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._open()
        names = self.archive.namelist()
        if sum(len(name) * name.count("/") for name in names) > PATHS:
            raise DataError(
                f"{path}: a zip archive of folders within folders without end; no set of images is like that."
            )
        self._arrange(Listing((n for n in names if n[-1:] != "/"), (n[:-1] for n in names if n[-1:] == "/")), size)

    def _open(self) -> None:
        try:
            self.archive = open_archive(self.path)
        except DataError:
            raise
        except Exception as error:  # among others BadZipFile, OSError, NotImplementedError, UnicodeDecodeError
            raise DataError(f"{self.path}: not a whole zip archive ({error}). Copy or download it again.") from error
        self._lock = threading.Lock()  # ZipFile counts its readers, but not in a thread-safe way

    def read(self, key: str) -> bytes:
        member = self.archive.getinfo(key)
        refuse_larger(member.file_size)
        with self._lock, open_member(self.archive, member) as file:
            return file.read(member.file_size + 1)  # without a number, it would unpack more than that before it stops

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("archive", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class _File(io.FileIO):
    """The file of an archive, whose directory `zipfile` reads in one go, however large that says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size and size > LARGEST + 1:
            raise DataError(
                f"{self.name}: a zip archive with a directory of {size:,} bytes, where {LARGEST:,} are the most that "
                "is read. Unpack it into a folder, and give that."
            )
        return super().read(size) or b""


class _Archive(zipfile.ZipFile):
    """One that closes a file that was opened for it."""

    def close(self) -> None:
        file = self.fp
        super().close()
        if file:
            file.close()


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip archive to read from. Raises nearly anything if it is none; DataError if its directory has more than
    LARGEST bytes, as some ten times as much memory is filled from it."""
    if not path.is_file():
        raise OSError("not a regular file")
    file = _File(path)
    try:
        return _Archive(file)
    except BaseException:
        file.close()
        raise


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A file in an archive, of which no more is unpacked than is asked for."""
    if member.compress_type not in METHODS:
        raise NotImplementedError("neither stored nor deflated, but packed in a way that isn't read here")
    return archive.open(member)


def refuse_larger(size: int, most: int = LARGEST) -> None:
    """ValueError for a file of more bytes than are ever read at once."""
    if size > most:
        raise ValueError(f"{size:,} bytes, where {most:,} are the most that is read")


def _listing(root: Path) -> Listing:
    """What lies below a folder."""
    folders, files = [], []
    for folder, own in _walk(root):
        below = folder.relative_to(root)
        folders.append(below.as_posix())
        files += [(below / name).as_posix() for name in own]
    return Listing(files, (folder for folder in folders if folder != "."))


def images_below(root: Path) -> list[Path]:
    """The image files in a folder at any depth, sorted, links followed. What is no regular file, a pipe, say, is left
    out, but not a link that leads nowhere. DataError if a folder can't be listed."""
    found = (folder / name for folder, names in _walk(root) for name in names if is_image(name))
    return sorted(path for path in found if path.is_file() or not path.exists())


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every visible folder below one, that one too, and the names of its files. Links are followed; a folder that is
    reached by two, or holds itself, is taken once. DataError if one can't be listed."""
    seen = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if not is_hidden(name))
        yield Path(folder), files


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)}: this folder can't be listed ({error.strerror}).") from error
