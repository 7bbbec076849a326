"""IDX files and arrays of NumPy."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.fuzz.edits import Choices, edit_bytes
from tests.fuzz.reading import choose_file, read_all

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([1, 0, 1, 2, 0, 1], np.uint8)


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def files() -> list[tuple[str, bytes]]:
    """Return the names and contents of valid files."""
    npy = io.BytesIO()
    np.save(npy, IMAGES)
    return [
        ("train-images-idx3-ubyte", idx(IMAGES[..., 0])),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES[..., 0]), mtime=0)),
        ("set.npy", npy.getvalue()),
        ("set.npz", npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])),
    ]


def seeds() -> list[bytes]:
    return [bytes([0, number]) + content for number, (_, content) in enumerate(files())]


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(3)
    name, content = choose_file(choices, files())
    labels = None if kind == 0 else idx(LABELS) if kind == 1 else edit_bytes(choices, idx(LABELS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inner" / name
        path.parent.mkdir()
        path.write_bytes(content)
        if name.startswith("train") and labels is not None:
            (path.parent / "train-labels-idx1-ubyte").write_bytes(labels)
        read_all(path)
