"""Reading emoji images from downloads: npm archives, or folders with their unpacked content."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ganzoo import DataError

Code = tuple[int, ...]  # code points of an emoji: the sign first, then skin tone, sex and joined characters
CODE = r"(?P<code>[0-9a-f]{2,6}(?:[-_][0-9a-f]{2,6}){0,15})"  # '_' only in the flags of parts of countries
MAX_IMAGE_BYTES = 1 << 20  # bytes of an image; known ones have about 10 kB
MAX_UNPACKED_BYTES = 1 << 29  # bytes of an unpacked archive; known ones have less than 100 MB


class Layout(NamedTuple):
    """Where a package has its images: a pattern of their paths, in which the group `code` is CODE; an example of such a
    path; and the name of a package."""

    path: re.Pattern[str]
    example: str
    package: str


VENDORS = Layout(
    re.compile(rf"(?:.*/)?img/(?P<vendor>[a-z0-9-]+)/64/{CODE}\.png", re.ASCII),
    "img/VENDOR/64/1f600.png",
    "emoji-datasource-google",
)
FLUENT = Layout(re.compile(rf"(?:.*/)?assets/{CODE}\.webp", re.ASCII), "assets/1f600.webp", "@lobehub/fluent-emoji-3d")


def collect(files: Iterable[Path]) -> dict[str, dict[Code, bytes]]:
    """Return the content of all 64 px images, by vendor and code points; DataError as for `read_images`."""
    found: dict[str, dict[Code, bytes]] = {}
    for matched, code, data in read_images(files, VENDORS):
        found.setdefault(matched["vendor"], {})[code] = data
    return found


def read_images(files: Iterable[Path], layout: Layout) -> Iterator[tuple[re.Match[str], Code, bytes]]:
    """Yield the matched path, the code points and the content of all images; DataError if one of `files` has none or is
    damaged.

    Archives are read as streams; nothing is unpacked to disk. Members that are not regular files or are too large for
    an image are ignored.
    """
    for file in files:
        count = 0
        for name, data in _files(file, layout.path):
            matched = layout.path.fullmatch(name)
            if matched:
                yield matched, tuple(int(point, 16) for point in re.split("[-_]", matched["code"])), data
                count += 1
        if not count:
            raise DataError(
                f"{file}: no emoji images in it (expected paths like {layout.example}). Give a .tgz made by "
                f"`npm pack {layout.package}`, or a folder with its unpacked content."
            )


def _files(file: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if not file.exists():
        raise DataError(f"{file}: there is no such file or folder.")
    if not (file.is_dir() or file.is_file()):  # such as a pipe: reading it might never end
        raise DataError(f"{file}: neither a file nor a folder.")
    yield from _folder(file, pattern) if file.is_dir() else _archive(file, pattern)


def _folder(root: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    for folder, _, names in os.walk(root.resolve()):
        for name in sorted(names):
            path = Path(folder, name)
            if pattern.fullmatch(path.as_posix()) and path.is_file() and not path.is_symlink():
                try:
                    if path.stat().st_size <= MAX_IMAGE_BYTES:
                        yield path.as_posix(), path.read_bytes()
                except OSError as error:
                    raise DataError(f"{path}: can't be read ({error.strerror}).") from error


def _archive(file: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.open(file) as unpacked:
            limited = SizeLimitedReader(unpacked)
            with tarfile.open(fileobj=limited, mode="r|") as archive:  # type: ignore[call-overload]
                yield from _members(archive, pattern)
            while limited.read(1 << 16):  # read to the end, so that gzip verifies the checksum
                pass
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except Exception as error:  # TarError, zlib.error, EOFError, OSError and ValueError: damage takes many forms
        raise DataError(f"{file}: not an intact .tgz archive ({error}). Download it again.") from error


def _members(archive: tarfile.TarFile, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        if member.isreg() and member.size <= MAX_IMAGE_BYTES and pattern.fullmatch(member.name):
            content = archive.extractfile(member)
            if content:
                yield member.name, content.read()
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them in memory


class SizeLimitedReader:
    """A file that raises DataError after MAX_UNPACKED_BYTES, so that a small archive can't expand without limit."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file, self._left = file, MAX_UNPACKED_BYTES

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB, too much for an archive of emoji.")
        return data
