"""Images in the files of a folder or a zip archive, and what every storage of images is.

Everything here can be pickled, so that other processes can read the same images.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import struct
import threading
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import numpy as np

from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.layout import Listing, find_domains, labels_of, moved
from ganzoo.data.parts import split
from ganzoo.data.pyramid import levels, nearest, wrapper
from ganzoo.errors import DataError, counted, printable, reason
from ganzoo.files import open_regular

LARGEST = 256 << 20  # bytes of a file: a picture without compression, of as many pixels as Pillow takes for safe
PATHS = 1 << 30  # characters of the paths of all folders around all files of an archive
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # Python unpacks others without a bound
OTHER_METHODS = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd"}
ENCRYPTED, IN_UTF8 = 1, 1 << 11  # flags of a file in a zip archive; the second is about its name
OF_DOS = "cp437"  # in which names are otherwise, says the format
FROM_WINDOWS = {0, 10, 11, 14}  # the file systems that a file may come from: FAT, NTFS by either number, VFAT
END = struct.Struct("<4sH")  # how the end of a zip archive begins: a mark, and the number of its disk
LAST = 22 + (1 << 16)  # bytes in which that end lies, with the comment that may follow
UNTOLD = 0xFFFF  # a number that stands elsewhere, in an archive of more than 4 GB
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
PART = re.compile(r"\.(z\d\d|r\d\d|\d\d\d)$")

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
    notes: Sequence[str] = ()  # how its folders are read, where that may surprise
    passed_over: str | None = None  # how many files are no images
    archives: Sequence[str] = ()  # that lie among the images

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
        parts = split(listing.images)
        self.notes, self.passed_over = parts.notes, listing.passed_over()
        self.archives = [path for path in listing.others if is_archive(path)]
        self._kept_in, self._kept, self._found = parts.validation.get("", ""), dict[str, list[str]](), None
        if parts.validation:
            folders = {domain: parts.validation.get(domain) for domain in parts.training}
            self._kept = {domain: listing.below(folder) if folder else [] for domain, folder in folders.items()}
        if "" not in parts.training:
            self.domains = tuple(parts.training)
            self._take_domains({domain: listing.below(folder) for domain, folder in parts.training.items()})
            return
        self._root = self._take(listing.below(parts.training[""]), parts.training[""], size)
        self._found = find_domains(listing, self.keys, self._root) if self.keys else None
        if self._found:
            self.domains = tuple(map(printable, self._found.names))
            self.labels = labels_of(self.keys, self._found)

    def _take_domains(self, keys: Mapping[str, list[str]]) -> None:
        """Hold these images, which lie in a folder for each domain."""
        self.keys = [key for each in keys.values() for key in each]
        labels = [label for label, each in enumerate(keys.values()) for _ in each]
        self.labels = np.array(labels, np.int64) if self.domains else None

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
        if not self._kept:
            return None
        other = self._twin()
        other._kept, other.labels, other.notes, other.passed_over = {}, None, (), None
        if "" not in self._kept:
            other._take_domains(self._kept)
            return other
        try:
            root = other._take(self._kept[""], self._kept_in, self.size)
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
        with open_regular(self.path / key) as file:
            size = os.fstat(file.fileno()).st_size
            refuse_larger(size)
            return file.read(size)


class ZipStorage(FileStorage):
    """The same, inside a zip archive."""

    _names: Mapping[str, str] = {}  # of its files, by the paths that stand for them, where these differ

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._open()
        names, self._names = _paths(self.archive.infolist())
        if sum(len(name) * name.count("/") for name in names) > PATHS:
            raise DataError(
                f"{path}: a zip archive of folders within folders without end; no set of images is like that."
            )
        files, folders = (n for n in names if n[-1:] != "/"), (n[:-1] for n in names if n[-1:] == "/")
        listing = Listing(files, folders, order=lambda name: self._names.get(name, name))
        self._refuse_unread(listing.images)
        self._arrange(listing, size)
        if any(_in_unknown_encoding(self._member(key)) for key in self.keys):
            self.notes = [*self.notes, "its names are in an encoding that the archive does not tell, so they look odd"]

    def _refuse_unread(self, keys: Sequence[str]) -> None:
        """DataError if the directory says that some of these images can't be unpacked here."""
        remedy = "Unpack it into a folder, and give that."
        if _disk(self.archive) or any(member.volume for member in self.archive.infolist()):
            raise DataError(f"{self.path}: one part of a zip archive that is split over several files. {remedy}")
        ways = Counter(filter(None, (_way_unread(self._member(key)) for key in keys)))
        if ways:
            (way, count), *_ = ways.most_common()
            of = f"{count:,} of its {counted(len(keys), 'image')}"
            raise DataError(f"{self.path}: a zip archive with {of} {way}, which isn't read here. {remedy}")

    def _member(self, key: str) -> zipfile.ZipInfo:
        return self.archive.getinfo(self._names.get(key, key))

    def _open(self) -> None:
        try:
            self.archive = open_archive(self.path)
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"{self.path}: can't be read ({reason(error)}).") from error
        except Exception as error:  # zipfile raises BadZipFile, struct.error, RuntimeError and more
            raise DataError(
                f"{self.path}: not a whole zip archive ({reason(error)}). Copy or download it again."
            ) from error
        self._lock = threading.Lock()  # ZipFile counts its readers, but not in a thread-safe way

    def read(self, key: str) -> bytes:
        member = self._member(key)
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
        raise ValueError("neither stored nor deflated, but packed in a way that isn't read here")
    return archive.open(member)


def _paths(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], dict[str, str]]:
    """The paths of the files in an archive, and the names by which it knows those of them that it writes otherwise:
    with the backslashes of some programs of Windows, or in UTF-8 without saying so."""
    windows = not any("/" in member.filename for member in members)
    paths, names = [], {}
    taken = {member.filename for member in members}
    for member in members:
        path = _legible(member)
        if windows or member.create_system in FROM_WINDOWS:
            path = path.replace("\\", "/")
        if path != member.filename and path not in taken:
            taken.add(path)
            names[path] = member.filename
        else:
            path = member.filename
        paths.append(path)
    return paths, names


def _legible(member: zipfile.ZipInfo) -> str:
    """The name of a file in an archive. What isn't marked as UTF-8 is read as the characters of DOS; most of it is
    UTF-8 all the same."""
    name = member.filename
    if member.flag_bits & IN_UTF8 or name.isascii():
        return name
    try:
        return name.encode(OF_DOS).decode()
    except UnicodeError:
        return name


def _in_unknown_encoding(member: zipfile.ZipInfo) -> bool:
    return not member.flag_bits & IN_UTF8 and not member.filename.isascii() and _legible(member) == member.filename


def _way_unread(member: zipfile.ZipInfo) -> str | None:
    """How a file in an archive is packed, if that isn't read."""
    if member.flag_bits & ENCRYPTED:
        return "encrypted"
    method = member.compress_type
    return None if method in METHODS else f"packed by {OTHER_METHODS.get(method, f'method {method}')}"


def _disk(archive: zipfile.ZipFile) -> int:
    """The number of the disk that an archive ends on, when it is split."""
    file = archive.fp
    assert file is not None
    file.seek(max(0, file.seek(0, os.SEEK_END) - LAST))
    tail = file.read(LAST)
    place = tail.rfind(b"PK\5\6")
    disk = END.unpack_from(tail, place)[1] if 0 <= place <= len(tail) - END.size else 0
    return 0 if disk == UNTOLD else int(disk)


def is_archive(path: str) -> bool:
    """Whether a file is named as an archive, or as one part of a split one: x.z01, x.7z.001, x.part1.rar."""
    return path.lower().endswith(ARCHIVES) or bool(PART.search(path.lower()))


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
    raise DataError(f"{printable(error.filename)}: this folder can't be listed ({reason(error)}).") from error
