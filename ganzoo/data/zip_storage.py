"""Images in zip archives."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ganzoo.data.abstract_storage import LARGEST, refuse_larger
from ganzoo.data.folder_storage import FileStorage
from ganzoo.data.layout import Listing
from ganzoo.errors import DataError, counted, reason

PATHS = 1 << 30  # limit on the total length of the paths of all parent folders of all files in an archive
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # for others, Python can't limit the unpacked size
OTHER_METHODS = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd"}
ENCRYPTED, IN_UTF8 = 1, 1 << 11  # flags of a file in a zip archive; the second applies to its name
OF_DOS = "cp437"  # encoding of all other names, according to the zip specification
FROM_WINDOWS = {0, 10, 11, 14}  # file systems of origin: FAT, NTFS (10 or 11), VFAT
END = struct.Struct("<4sH")  # start of the end-of-central-directory record: signature, number of this disk
LAST = 22 + (1 << 16)  # bytes at the end of the file that contain this record, with the longest comment
UNTOLD = 0xFFFF  # placeholder for a number that a ZIP64 archive stores elsewhere


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
