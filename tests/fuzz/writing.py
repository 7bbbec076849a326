"""Pickles as PyTorch and Jittor write them, opcode by opcode, of any value: no pickler makes wrong ones."""

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
Array = Callable[["Pickle", np.ndarray], str]


class Pickle:
    """One pickle of protocol 0, and the storages that lie outside it."""

    def __init__(self, array: Array) -> None:
        self._array, self.storages = array, list[bytes]()

    def of(self, value: Any) -> bytes:
        return (self._text(value) + ".").encode("latin-1", "replace")

    def _text(self, value: Any) -> str:
        if isinstance(value, dict):
            items = "".join(f"{self._text(name)}{self._text(item)}s" for name, item in value.items())
            return f"(d{items}"
        if isinstance(value, list):
            return "(l" + "".join(f"{self._text(item)}a" for item in value)
        if isinstance(value, tuple):
            return f"({''.join(map(self._text, value))}t"
        if isinstance(value, np.ndarray):
            return self._array(self, value)
        return plain(value)


def plain(value: Any) -> str:
    """A number, a text or None."""
    return pickle.dumps(value, 0)[:-1].decode("latin-1").replace("p0\n", "")


def tensor(made: Pickle, array: np.ndarray) -> str:
    """As torch.save, with the numbers in a storage. What has no such type in PyTorch becomes float32."""
    made.storages.append(array.astype("<f4").tobytes())
    key = f"(Vstorage\n{FLOAT}V{len(made.storages) - 1}\nVcpu\nI{array.size}\ntQ"
    strides = [stride // array.itemsize for stride in np.ascontiguousarray(array).strides]
    sizes, steps = ("".join(f"I{number}\n" for number in each) for each in (array.shape, strides))
    return f"ctorch._utils\n_rebuild_tensor_v2\n({key}I0\n({sizes}t({steps}tI00\nccollections\nOrderedDict\n(tRtR"


def ndarray(made: Pickle, array: np.ndarray) -> str:
    """As NumPy, which jt.save uses, with the numbers in the pickle."""
    return pickle.dumps(array, 0)[:-1].decode("latin-1")


def zipped(content: bytes, storages: list[bytes]) -> bytes:
    """PyTorch's zip of this pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3")
        for key, raw in enumerate(storages):
            archive.writestr(f"archive/data/{key}", raw)
    return file.getvalue()


def legacy(content: bytes, storages: list[bytes]) -> bytes:
    """PyTorch's format before 1.6."""
    head = [MAGIC, PROTOCOL, {"protocol_version": PROTOCOL, "little_endian": True}]
    parts = [*(pickle.dumps(each, 2) for each in head), content]
    parts.append(pickle.dumps([str(key) for key in range(len(storages))], 2))
    return b"".join(parts) + b"".join(struct.pack("<q", len(raw) // 4) + raw for raw in storages)


def jittors(content: bytes, storages: list[bytes]) -> bytes:
    """What jt.save makes of a pickle."""
    return content + hashlib.sha1(content).digest() + b"HCAJSLHD"


def bare(content: bytes, storages: list[bytes]) -> bytes:
    return content
