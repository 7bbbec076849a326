"""Shards of webdataset."""

from __future__ import annotations

import io
import tarfile
from functools import lru_cache

from tests.fuzz.edits import Choices
from tests.fuzz.reading import choose_file, picture, read_file

LABELS = {"1": b"7", "2": b"12", "3": b"7"}
DESCRIPTION = b'{"hair": "red", "age": 3, "pose": [0.5, 1]}'


@lru_cache(maxsize=1)
def files() -> list[tuple[str, bytes]]:
    """Return the names and contents of valid files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for stem, label in LABELS.items():
            for suffix, content in (("png", picture(5)), ("cls", label), ("json", DESCRIPTION)):
                info = tarfile.TarInfo(f"{stem}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return [("set.tar", buffer.getvalue())]


def seeds() -> list[bytes]:
    return [bytes([number]) + content for number, (_, content) in enumerate(files())]


def check(data: bytes) -> None:
    read_file(*choose_file(Choices(data), files()))
