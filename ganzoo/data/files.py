"""The interface of image storages, and its implementations for folders and zip archives.

All storages can be pickled, so that other processes can read the same images.
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
from ganzoo.data.pyramid import common_folder, levels, nearest
from ganzoo.errors import DataError, counted, printable, reason
from ganzoo.files import open_regular

LARGEST = 256 << 20  # bytes per file: an uncompressed RGB image of Pillow's MAX_IMAGE_PIXELS
PATHS = 1 << 30  # limit on the total length of the paths of all parent folders of all files in an archive
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # for others, Python can't limit the unpacked size
OTHER_METHODS = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd"}
ENCRYPTED, IN_UTF8 = 1, 1 << 11  # flags of a file in a zip archive; the second applies to its name
OF_DOS = "cp437"  # encoding of all other names, according to the zip specification
FROM_WINDOWS = {0, 10, 11, 14}  # file systems of origin: FAT, NTFS (10 or 11), VFAT
END = struct.Struct("<4sH")  # start of the end-of-central-directory record: signature, number of this disk
LAST = 22 + (1 << 16)  # bytes at the end of the file that contain this record, with the longest comment
UNTOLD = 0xFFFF  # placeholder for a number that a ZIP64 archive stores elsewhere
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
PART = re.compile(r"\.(z\d\d|r\d\d|\d\d\d)$")

Same = TypeVar("Same", bound="Storage")


class Storage(ABC):
    """Images as encoded files, identified by keys in a fixed order, with the names of their domains and the label of
    each key (None: no domains).

    If every image is stored at several `sizes`, the keys are those of one `size`.
    """

    path: Path
    keys: list[str]
    domains: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    metadata: dict[str, Any] = {}
    sizes: Sequence[int] = ()
    size: int | None = None
    notes: Sequence[str] = ()  # how the folders were interpreted, where that may surprise the user
    passed_over: str | None = None  # how many other files were ignored
    archives: Sequence[str] = ()  # archives found among the images

    def files(self) -> Iterable[Path]:
        """Return the files on disk that contain the images."""
        return [self.path]

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes of one image file. Must be thread-safe; may raise any exception."""

    def at_size(self, size: int) -> Storage:
        """Return the same images at the stored size nearest to `size`; this storage itself if nothing would change."""
        if not self.sizes or nearest(size, self.sizes) == self.size:
            return self
        other = self._twin()
        other._use(size)
        return other

    def unlabelled(self: Same) -> Same:
        """Return the same images without domains."""
        other = self._twin()
        other.domains, other.labels = (), None
        return other

    def _twin(self: Same) -> Same:
        """Return a shallow copy. (`copy.copy` would call `__setstate__`, which reopens the file.)"""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @abstractmethod
    def validation(self) -> Storage | None:
        """Return the validation images, with the same domains; DataError if they don't fit the training images."""

    @abstractmethod
    def _use(self, size: int | None) -> None:
        """Switch `size` and `keys` to the stored size nearest to `size` (None: the largest)."""


class FileStorage(Storage):
    """Image files identified by paths. The folders can separate training and validation images (`parts`), sizes
    (`pyramid`) or domains (`layout`)."""

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
        """Use these images, given by domain."""
        self.keys = [key for each in keys.values() for key in each]
        labels = [label for label, each in enumerate(keys.values()) for _ in each]
        self.labels = np.array(labels, np.int64) if self.domains else None

    def _take(self, keys: list[str], folder: str, size: int | None) -> str:
        """Use these images and return the folder that contains them: `folder`, or the folder of one size inside it."""
        self.keys, self.size = keys, None
        self._levels = levels(keys, self.read)
        self.sizes = tuple(self._levels)
        if not self.sizes:
            return folder
        above = common_folder(keys)
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
    """Images at any depth below a folder; symbolic links are followed."""

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
    """Images at any depth in a zip archive."""

    _names: Mapping[str, str] = {}  # from paths to names in the archive, where the two differ

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
        """Raise DataError if, according to the archive's directory, some of these images can't be unpacked."""
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
        self._lock = threading.Lock()  # ZipFile's count of its open readers is not thread-safe

    def read(self, key: str) -> bytes:
        member = self._member(key)
        refuse_larger(member.file_size)
        with self._lock, open_member(self.archive, member) as file:
            return file.read(member.file_size + 1)  # a plain read() would unpack an entry of any size

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("archive", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class _File(io.FileIO):
    """An archive's file that refuses huge reads: `zipfile` reads the directory at once, whatever its claimed size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size and size > LARGEST + 1:
            raise DataError(
                f"{self.name}: a zip archive with a directory of {size:,} bytes, where {LARGEST:,} are the most that "
                "is read. Unpack it into a folder, and give that."
            )
        return super().read(size) or b""


class _Archive(zipfile.ZipFile):
    """A zip archive that closes its file, although it did not open it."""

    def close(self) -> None:
        file = self.fp
        super().close()
        if file:
            file.close()


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive for reading. DataError if its directory has more than LARGEST bytes, since parsing takes about
    ten times as much memory; nearly any other exception if the file is not a zip archive."""
    if not path.is_file():
        raise OSError("not a regular file")
    file = _File(path)
    try:
        return _Archive(file)
    except BaseException:
        file.close()
        raise


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a file in an archive. Reading n bytes unpacks only n; ValueError for compression methods that can't."""
    if member.compress_type not in METHODS:
        raise ValueError("neither stored nor deflated, but packed in a way that isn't read here")
    return archive.open(member)


def _paths(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], dict[str, str]]:
    """Return the paths of the files in an archive, and a dict from paths to names in the archive where the two differ:
    names with backslashes, as some Windows programs write them, and UTF-8 names that are not marked as such."""
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
    """Return the name of a file in an archive. `zipfile` decodes names that aren't marked as UTF-8 as cp437, but most
    are UTF-8 nevertheless, so they are decoded as UTF-8 if possible."""
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
    """Return how a file in an archive is packed if ganzoo can't unpack it, otherwise None."""
    if member.flag_bits & ENCRYPTED:
        return "encrypted"
    method = member.compress_type
    return None if method in METHODS else f"packed by {OTHER_METHODS.get(method, f'method {method}')}"


def _disk(archive: zipfile.ZipFile) -> int:
    """Return the number of the disk on which an archive ends; 0 if it is not split."""
    file = archive.fp
    assert file is not None
    file.seek(max(0, file.seek(0, os.SEEK_END) - LAST))
    tail = file.read(LAST)
    place = tail.rfind(b"PK\5\6")
    disk = END.unpack_from(tail, place)[1] if 0 <= place <= len(tail) - END.size else 0
    return 0 if disk == UNTOLD else int(disk)


def is_archive(path: str) -> bool:
    """Return whether a file is named like an archive or a part of a split archive: x.z01, x.7z.001, x.part1.rar."""
    return path.lower().endswith(ARCHIVES) or bool(PART.search(path.lower()))


def refuse_larger(size: int, most: int = LARGEST) -> None:
    """Raise ValueError if a file has more than `most` bytes."""
    if size > most:
        raise ValueError(f"{size:,} bytes, where {most:,} are the most that is read")


def _listing(root: Path) -> Listing:
    """List the files and folders below a folder."""
    folders, files = [], []
    for folder, own in _walk(root):
        below = folder.relative_to(root)
        folders.append(below.as_posix())
        files += [(below / name).as_posix() for name in own]
    return Listing(files, (folder for folder in folders if folder != "."))


def images_below(root: Path) -> list[Path]:
    """Return the image files at any depth in a folder, sorted; symbolic links are followed. Skips pipes and other
    special files, but not broken links. DataError if a folder can't be listed."""
    found = (folder / name for folder, names in _walk(root) for name in names if is_image(name))
    return sorted(path for path in found if path.is_file() or not path.exists())


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield `root` and every visible folder below it, each with the names of its files. Follows symbolic links, but
    visits a folder only once, even if links form a cycle. DataError if a folder can't be listed."""
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
