"""Animated PNG, written frame by frame: Pillow's own writer (as of 13.0) keeps all frames in memory.

A PNG whose pixels are in IDAT chunks becomes a frame: the first one keeps them, others have fdAT chunks, with numbers
(see www.w3.org/TR/png-3, section 11.3.6).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import pack

import numpy as np

from ganzoo.data.lmdb_writer import png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK_OVERHEAD = 12  # bytes: length, name and checksum


def save_apng(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write uint8 pictures (H, W, 1, 3 or 4), all of the same shape, as an APNG that loops endlessly."""
    count = number = 0  # of frames, and of the chunks that APNG numbers
    with open(path, "wb") as file:
        for frame in frames:
            chunks = list(_chunks(png(frame)))
            if not count:
                file.write(SIGNATURE + _chunk(b"IHDR", chunks[0][1]))
                counts_at = file.tell()
                file.write(_chunk(b"acTL", pack(">II", 0, 0)))  # replaced below
            size = frame.shape[1], frame.shape[0]
            # No offset; 1 / fps seconds; keep the frame, and overwrite it with the next one.
            file.write(_chunk(b"fcTL", pack(">IIIIIHHBB", number, *size, 0, 0, 1, fps, 0, 0)))
            number += 1
            for content in (content for name, content in chunks if name == b"IDAT"):
                if not count:
                    file.write(_chunk(b"IDAT", content))
                    continue
                file.write(_chunk(b"fdAT", pack(">I", number) + content))
                number += 1
            count += 1
        file.write(_chunk(b"IEND", b""))
        file.seek(counts_at)
        file.write(_chunk(b"acTL", pack(">II", count, 0)))  # 0: endless


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and content of each chunk of a PNG."""
    at = len(SIGNATURE)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += CHUNK_OVERHEAD + length


def _chunk(name: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + name + content + pack(">I", zlib.crc32(name + content))
