"""Pickles in the formats of PyTorch and Jittor, written opcode by opcode, since a pickler can't write invalid ones."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
FLOAT = "ctorch\nFloatStorage\n"
ArrayWriter = Callable[["Pickle", np.ndarray], str]


class Pickle:
    """Writer of a pickle of protocol 0, and of the storages outside it."""

    def __init__(self, write_array: ArrayWriter) -> None:
        self._write_array, self.storages = write_array, list[bytes]()

    def dumps(self, value: Any) -> bytes:
        return (self._opcodes(value) + ".").encode("latin-1", "replace")

    def _opcodes(self, value: Any) -> str:
        if isinstance(value, dict):
            items = "".join(f"{self._opcodes(name)}{self._opcodes(item)}s" for name, item in value.items())
            return f"(d{items}"
        if isinstance(value, list):
            return "(l" + "".join(f"{self._opcodes(item)}a" for item in value)
        if isinstance(value, tuple):
            return f"({''.join(map(self._opcodes, value))}t"
        if isinstance(value, np.ndarray):
            return self._write_array(self, value)
        return scalar(value)


def scalar(value: Any) -> str:
    """Return the opcodes of a number, a string or None."""
    return pickle.dumps(value, 0)[:-1].decode("latin-1").replace("p0\n", "")


def tensor(pickled: Pickle, array: np.ndarray) -> str:
    """Return the opcodes that torch.save writes for a tensor. Its data, converted to float32, is in a storage."""
    pickled.storages.append(array.astype("<f4").tobytes())
    key = f"(Vstorage\n{FLOAT}V{len(pickled.storages) - 1}\nVcpu\nI{array.size}\ntQ"
    strides = [stride // array.itemsize for stride in np.ascontiguousarray(array).strides]
    sizes, steps = ("".join(f"I{number}\n" for number in each) for each in (array.shape, strides))
    return f"ctorch._utils\n_rebuild_tensor_v2\n({key}I0\n({sizes}t({steps}tI00\nccollections\nOrderedDict\n(tRtR"


def ndarray(pickled: Pickle, array: np.ndarray) -> str:
    """Return the opcodes that jt.save writes for an array. Its data is in the pickle."""
    return pickle.dumps(array, 0)[:-1].decode("latin-1")


def torch_zip(content: bytes, storages: list[bytes]) -> bytes:
    """Return a pickle and its storages in PyTorch's zip format."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3")
        for key, raw in enumerate(storages):
            archive.writestr(f"archive/data/{key}", raw)
    return file.getvalue()


def torch_legacy(content: bytes, storages: list[bytes]) -> bytes:
    """Return a pickle and its storages in the format of PyTorch before 1.6."""
    head = [MAGIC, PROTOCOL, {"protocol_version": PROTOCOL, "little_endian": True}]
    parts = [*(pickle.dumps(each, 2) for each in head), content]
    parts.append(pickle.dumps([str(key) for key in range(len(storages))], 2))
    return b"".join(parts) + b"".join(struct.pack("<q", len(raw) // 4) + raw for raw in storages)


def jittor_file(content: bytes, storages: list[bytes]) -> bytes:
    """Return a pickle in the format of jt.save."""
    return content + hashlib.sha1(content).digest() + b"HCAJSLHD"


def plain_pickle(content: bytes, storages: list[bytes]) -> bytes:
    return content
