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

from ganzoo.data.abstract_storage import MAX_FILE_BYTES, Storage, check_size, match_validation
from ganzoo.data.folder_storage import FileStorage
from ganzoo.data.labels import NO_LABELS
from ganzoo.data.layout import Listing, validation_path
from ganzoo.errors import DataError, format_count, reason

MAX_PATH_CHARS = 1 << 30  # limit on the total length of the paths of all parent folders of all files in an archive
SUPPORTED_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # for others, Python can't limit the unpacked size
METHOD_NAMES = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd"}
ENCRYPTED_FLAG, UTF8_FLAG = 1, 1 << 11  # flags of a file in a zip archive; the second applies to its name
DOS_ENCODING = "cp437"  # encoding of names without UTF8_FLAG, according to the zip specification
WINDOWS_SYSTEMS = {0, 10, 11, 14}  # file systems of origin: FAT, NTFS (10 or 11), VFAT
END_RECORD = struct.Struct("<4sH")  # start of the end-of-central-directory record: signature, number of this disk
MAX_END_BYTES = 22 + (1 << 16)  # size of this record with the longest comment; it is at the end of the file
ZIP64_PLACEHOLDER = 0xFFFF  # placeholder for a number that a ZIP64 archive stores elsewhere


class ZipStorage(FileStorage):
    """Images at any depth in a zip archive."""

    format = "zip archive"
    _names: Mapping[str, str] = {}  # from paths to names in the archive, where the two differ

    def __init__(self, path: Path, size: int | None = None, labels: str | None = None) -> None:
        self.path = path
        self._open()
        names, self._names = _paths(self.archive.infolist())
        if sum(len(name) * name.count("/") for name in names) > MAX_PATH_CHARS:
            raise DataError(f"{path}: the folders in this zip archive are nested too deeply for a set of images.")
        files, folders = (n for n in names if n[-1:] != "/"), (n[:-1] for n in names if n[-1:] == "/")
        listing = Listing(files, folders, order=lambda name: self._names.get(name, name))
        self._check_supported(listing.images)
        self._interpret_folders(listing, size, labels)
        if any(_in_unknown_encoding(self._member(key)) for key in self.keys):
            self.notes = [
                *self.notes,
                "the archive doesn't declare the encoding of its file names, so they may look garbled",
            ]

    def _check_supported(self, keys: Sequence[str]) -> None:
        """Raise DataError if, according to the archive's directory, some of these images can't be unpacked."""
        remedy = "Unpack it and give the folder."
        if _disk_number(self.archive) or any(member.volume for member in self.archive.infolist()):
            raise DataError(f"{self.path}: one part of a zip archive that is split over several files. {remedy}")
        packings = Counter(filter(None, (_unsupported_packing(self._member(key)) for key in keys)))
        if packings:
            (packing, count), *_ = packings.most_common()
            share = f"{count:,} of its {format_count(len(keys), 'image')}"
            raise DataError(f"{self.path}: a zip archive with {share} {packing}, which ganzoo can't unpack. {remedy}")

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
                f"{self.path}: a damaged or incomplete zip archive ({reason(error)}). Copy or download it again."
            ) from error
        self._lock = threading.Lock()  # ZipFile's count of its open readers is not thread-safe

    def read(self, key: str) -> bytes:
        member = self._member(key)
        check_size(member.file_size)
        with self._lock, open_member(self.archive, member) as file:
            return file.read(member.file_size + 1)  # a plain read() would unpack an entry of any size

    def validation(self) -> Storage | None:
        """Return the validation images: those in NAME-val.zip if it is there and this archive has a label file,
        otherwise those in this archive."""
        path = validation_path(self.path)
        if self._file_labels is None or not path.is_file():
            return super().validation()
        other = ZipStorage(path, labels=self.labelled_by if self.labelled_by == self._file_labels.name else NO_LABELS)
        if other._file_labels is None:
            return None
        match_validation(self, other)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("archive", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class _BoundedFile(io.FileIO):
    """An archive's file that refuses huge reads: `zipfile` reads the directory at once, whatever its claimed size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size and size > MAX_FILE_BYTES + 1:
            raise DataError(
                f"{self.name}: the directory of this zip archive has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}. "
                "Unpack it and give the folder."
            )
        return super().read(size) or b""


class _OwningZipFile(zipfile.ZipFile):
    """A zip archive that closes its file, which `zipfile` does only if it opened the file itself."""

    def close(self) -> None:
        file = self.fp
        super().close()
        if file:
            file.close()


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive for reading. DataError if its directory exceeds MAX_FILE_BYTES, since parsing takes about ten
    times as much memory; nearly any other exception if the file is not a zip archive."""
    if not path.is_file():
        raise OSError("not a regular file")
    file = _BoundedFile(path)
    try:
        return _OwningZipFile(file)
    except BaseException:
        file.close()
        raise


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a file in an archive. Reading n bytes unpacks only n; ValueError if the compression method prevents that."""
    if member.compress_type not in SUPPORTED_METHODS:
        raise ValueError("unsupported compression method (only stored and deflated are supported)")
    return archive.open(member)


def _paths(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], dict[str, str]]:
    """Return the paths of the files in an archive, and a dict from paths to names in the archive where the two differ:
    names with backslashes, as some Windows programs write them, and UTF-8 names that are not marked as such."""
    windows = not any("/" in member.filename for member in members)
    paths, names = [], {}
    taken = {member.filename for member in members}
    for member in members:
        path = _decoded_name(member)
        if windows or member.create_system in WINDOWS_SYSTEMS:
            path = path.replace("\\", "/")
        if path != member.filename and path not in taken:
            taken.add(path)
            names[path] = member.filename
        else:
            path = member.filename
        paths.append(path)
    return paths, names


def _decoded_name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file in an archive. `zipfile` decodes names as cp437 unless they are marked as UTF-8. Most
    unmarked names are UTF-8 nevertheless, so they are decoded as UTF-8 if possible."""
    name = member.filename
    if member.flag_bits & UTF8_FLAG or name.isascii():
        return name
    try:
        return name.encode(DOS_ENCODING).decode()
    except UnicodeError:
        return name


def _in_unknown_encoding(member: zipfile.ZipInfo) -> bool:
    name = member.filename
    return not member.flag_bits & UTF8_FLAG and not name.isascii() and _decoded_name(member) == name


def _unsupported_packing(member: zipfile.ZipInfo) -> str | None:
    """Return how a file in an archive is encrypted or compressed if ganzoo can't unpack it, otherwise None."""
    if member.flag_bits & ENCRYPTED_FLAG:
        return "encrypted"
    method = member.compress_type
    return None if method in SUPPORTED_METHODS else f"compressed with {METHOD_NAMES.get(method, f'method {method}')}"


def _disk_number(archive: zipfile.ZipFile) -> int:
    """Return the number of the disk on which an archive ends; 0 if it is not split."""
    file = archive.fp
    assert file is not None
    file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_END_BYTES))
    tail = file.read(MAX_END_BYTES)
    place = tail.rfind(b"PK\5\6")
    disk = END_RECORD.unpack_from(tail, place)[1] if 0 <= place <= len(tail) - END_RECORD.size else 0
    return 0 if disk == ZIP64_PLACEHOLDER else int(disk)
