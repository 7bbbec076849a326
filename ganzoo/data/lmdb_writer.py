"""Writing of prepared images to an LMDB, which appears under its name only when complete."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

from ganzoo.data.lmdb_storage import LMDB_METADATA
from ganzoo.errors import DataError
from ganzoo.files import atomic_folder

MIN_MAP_SIZE = 1 << 28  # bytes; the smallest memory map
MAP_RESERVE = 1 << 24  # bytes of the map kept free for the pages that LMDB copies when it changes them
PAGE, HALF_PAGE = 4096, 2000  # bytes; LMDB stores values larger than about half a page on pages of their own
PNG_LEVEL = 3  # of zlib: twice as fast as the default of 6, for slightly larger files
COMMIT_EVERY = 500  # images per transaction


def png(image: np.ndarray) -> bytes:
    """Encode a uint8 image (H, W, 1, 3 or 4) as a PNG file, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "png", compress_level=PNG_LEVEL)
    return buffer.getvalue()


class LmdbWriter:
    """An LMDB open for writing, whose memory map is enlarged as needed.

    (Reserving the whole address space at once would fail where it is limited, for instance by `ulimit -v`.)
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder, self._options = folder, options
        self._open(MIN_MAP_SIZE)

    def _open(self, size: int) -> None:
        """Open the LMDB with a memory map of 4, 2 or 1 times `size` bytes, the largest that can be reserved."""
        for wanted in (4 * size, 2 * size, size):
            try:
                self.env = lmdb.open(os.fsencode(self._folder), map_size=wanted, **self._options)
                break
            except lmdb.MemoryError:
                if wanted == size:
                    raise
        self._begin()

    def _begin(self) -> None:
        self.transaction, self._is_open = self.env.begin(write=True), True
        info = self.env.info()
        self._room = info["map_size"] - (info["last_pgno"] + 1) * self.env.stat()["psize"] - MAP_RESERVE
        self._uncommitted = 0

    def reserve(self, size: int) -> None:
        """Make room for `size` more bytes. Uncommitted bytes count twice, since LMDB may copy their pages."""
        if 2 * (self._uncommitted + size) > self._room:
            self.commit()
        if 2 * size > self._room:
            needed = self.env.info()["map_size"] - self._room + 2 * size
            self.transaction.abort()
            self.env.close()
            self._is_open = False
            self._open(max(MIN_MAP_SIZE, needed))

    def put(self, key: bytes, value: bytes) -> None:
        size = stored_size(value)
        self.reserve(size)
        self._uncommitted += size
        self.transaction.put(key, value)

    def commit(self) -> None:
        """Commit all entries written so far."""
        self.transaction.commit()
        self._begin()

    def close(self) -> None:
        if not self._is_open:
            return
        try:
            self.transaction.commit()
        finally:
            self.env.close()


def stored_size(data: bytes) -> int:
    """Estimate the bytes that a value takes in an LMDB; pages with small values are two-thirds full."""
    return -(-(len(data) + 16) // PAGE) * PAGE if len(data) > HALF_PAGE else (len(data) + 32) * 3 // 2


def write_failure(error: Exception) -> str:
    """Return the end of the message for an LMDB that can't be written, with the reason in brackets."""
    if isinstance(error, lmdb.MemoryError):
        return "can't be written (address space is exhausted; raise the limit shown by `ulimit -v`)."
    return f"can't be written ({error})."


def write_lmdb(path: Path, images: Iterable[bytes], size: int, metadata: dict[str, Any]) -> None:
    """Write image files of one size in the reference layout, with `metadata` (JSON types) under ganzoo's own key.

    `metadata` may contain 'domains' (names) with 'labels' (one index per image), 'flip', and 'channels': 4 for images
    with transparency. An existing `path` is left unchanged. DataError if the LMDB can't be written. If `images` raises
    an exception, nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(path) as folder:
            writer = LmdbWriter(folder, sync=False)
            try:
                count = _fill(writer, images, size)
                writer.put(b"length", str(count).encode())
                writer.put(LMDB_METADATA, json.dumps(metadata).encode())
                writer.commit()
                writer.env.sync(True)
            finally:
                writer.close()
    except (lmdb.Error, OSError) as error:
        if not path.exists():  # otherwise another process was faster and wrote the same images
            raise DataError(f"{path}: {write_failure(error)}") from error


def _fill(writer: LmdbWriter, images: Iterable[bytes], size: int) -> int:
    count = 0
    for data in images:
        writer.put(f"{size}-{count:05d}".encode(), data)
        count += 1
        if count % COMMIT_EVERY == 0:
            writer.commit()
    return count
