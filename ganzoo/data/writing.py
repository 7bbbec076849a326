"""Writes prepared images into an LMDB that appears under its name only when it is whole."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import lmdb
import numpy as np
from PIL import Image

from ganzoo.data.storage import LMDB_METADATA
from ganzoo.errors import DataError

MAP_SIZE = 1 << 40  # an upper bound of the address space LMDB reserves; the file grows as needed
PNG_LEVEL = 3  # of zlib: twice as fast as its default of 6 for a few bytes more
COMMIT_EVERY = 500  # images per transaction


def png(image: np.ndarray) -> bytes:
    """A uint8 image (H, W, 1 or 3) as the bytes of a PNG file: lossless."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "png", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def write_lmdb(path: Path, images: Iterable[bytes], size: int, metadata: dict[str, Any]) -> None:
    """Write image files of one size in the reference layout, with `metadata` (JSON types) under ganzoo's own key.

    `metadata` may hold 'domains' (names) with 'labels' (one index per image), and 'flip'. What is at `path` already
    stays. DataError if it can't be written; an exception of `images` leaves nothing behind.
    """
    building = path.with_name(f"{path.name}.building-{uuid4().hex[:8]}")
    try:
        building.parent.mkdir(parents=True, exist_ok=True)
        with lmdb.open(str(building), map_size=MAP_SIZE, sync=False) as env:
            count = _fill(env, images, size)
            with env.begin(write=True) as transaction:
                transaction.put(b"length", str(count).encode())
                transaction.put(LMDB_METADATA, json.dumps(metadata).encode())
            env.sync(True)
        if path.exists():  # another process was faster; both built the same
            return
        building.rename(path)
    except (lmdb.Error, OSError) as error:
        if not path.exists():
            raise DataError(f"{path}: can't be written ({error}).") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(env: Any, images: Iterable[bytes], size: int) -> int:
    count = 0
    transaction = env.begin(write=True)
    for data in images:
        transaction.put(f"{size}-{count:05d}".encode(), data)
        count += 1
        if count % COMMIT_EVERY == 0:
            transaction.commit()
            transaction = env.begin(write=True)
    transaction.commit()
    return count
