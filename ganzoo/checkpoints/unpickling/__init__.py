"""Safe reader for other programs' checkpoints: files of PyTorch and of Jittor, and plain pickles.

`ganzoo import` and the metrics' backbones read such files, which users download from strangers. Pickles are programs
that may call anything, so `pickle` is not used: `machine` implements the few opcodes that describe values, `values`
lists every name that a file may refer to, and `foreign` recognises common files of other kinds. Anything else is
refused, with an error that names it.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

from ganzoo.checkpoints.unpickling.foreign import identify
from ganzoo.checkpoints.unpickling.machine import Budget, UnpicklingError, excerpt, load, resolve
from ganzoo.checkpoints.unpickling.values import NAMES, Storage, StorageType
from ganzoo.errors import CheckpointError, reason
from ganzoo.files import open_regular

_ZIP = b"PK\x03\x04"
_JITTOR = b"HCAJSLHD"  # last bytes of a jt.save file; the 20 bytes before them are the SHA-1 of the pickle
_LEGACY = 0x1950A86A20F9469CFC6C  # value of the first pickle in a torch.save file before PyTorch 1.6
_LEGACY_PROTOCOL = 1001
_TAR = b"ustar"

# Exceptions that Python, NumPy, pickletools and zipfile raise on malformed bytes.
_MALFORMED = (
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


def safe_load(path: Path) -> Any:
    """Read a weights file into dict, list, tuple, str, int, float, bool, None, bytes and NumPy arrays.

    Reads torch.save's zip format and its older format, jt.save's pickle, and plain pickles (of any protocol) of NumPy
    arrays, and recognises them by their content. Parameters, tensors and Jittor Vars become arrays, bfloat16 becomes
    float32, dtypes and devices become their names. Arrays are contiguous and read-only; some share memory.

    CheckpointError if the file is missing, damaged or of another format, or refers to a name that weights don't need.
    Nothing that the file names is imported or called, and time and memory are bounded by its size.
    """
    try:
        return resolve(*_parse(_read(path)))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({reason(error)}).") from error
    except UnpicklingError as error:
        raise CheckpointError(f"{path}: {error}.") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: too large for the memory of this machine.") from error
    except _MALFORMED as error:
        raise CheckpointError(f"{path}: not a file of PyTorch or Jittor, or a damaged one.") from error


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            raise MemoryError  # reading it could make the system kill other processes
        return file.read()


def _parse(data: bytes) -> tuple[Any, Budget]:
    budget = Budget(2**24 + 4 * len(data))
    if what := identify(data):
        raise UnpicklingError(what)
    if data.startswith(_ZIP):
        return _zip(data), budget
    if data[257:262] == _TAR:
        raise UnpicklingError("not readable; PyTorch wrote such files before 0.4, save it again with a newer one")
    if data.endswith(_JITTOR):
        data, checksum = data[:-28], data[-28:-8]
        if hashlib.sha1(data, usedforsecurity=False).digest() != checksum:
            raise UnpicklingError("damaged; its checksum is wrong")
    file = io.BytesIO(data)
    value = load(file, NAMES)
    if value == _LEGACY:
        value = _legacy(file)
    if file.tell() != len(data):
        raise UnpicklingError("damaged; there is data after its end")
    return value, budget


class _Storages(dict[str, Storage]):
    """Storages that a pickle refers to, by key. The reader of the pickle calls this object with each persistent id."""

    def __call__(self, key: Any) -> Storage:
        if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage" or type(key[1]) is not StorageType:
            raise UnpicklingError("damaged; it refers to external data that is not a storage")
        if key[5:] not in ((), (None,)):
            raise UnpicklingError("not readable; it contains views of storages, save it again with a newer PyTorch")
        if type(key[2]) not in (str, int):
            raise UnpicklingError("damaged; a storage has no name")
        storage = Storage(key[1], key[4])
        known = self.setdefault(str(key[2]), storage)
        if (known.type, known.count) != (storage.type, storage.count):
            raise UnpicklingError("damaged; it describes one storage in two ways")
        return known


def _zip(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        # PyTorch does not compress. If the members together are longer than the file, it is a zip bomb.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnpicklingError("refused; its members are compressed")
        if sum(max(member.file_size, member.compress_size) for member in members) > len(data):
            raise UnpicklingError("damaged; its members are longer than the file")
        pickles = [member.filename for member in members if member.filename.split("/")[1:] == ["data.pkl"]]
        if any(member.filename.endswith(".npy") for member in members):
            raise UnpicklingError("NumPy arrays (.npz), not a file of PyTorch or Jittor")
        if len(pickles) != 1:
            raise UnpicklingError("a zip file, but not one of PyTorch's")
        folder = pickles[0].split("/")[0]
        storages = _Storages()
        value = load(io.BytesIO(archive.read(pickles[0])), NAMES, storages)
        order = f"{folder}/byteorder"
        big_endian = order in archive.namelist() and archive.read(order) == b"big"
        for key, storage in storages.items():
            storage.raw = archive.read(f"{folder}/data/{key}")
            storage.big_endian = big_endian
            if len(storage.raw) != storage.size:
                raise UnpicklingError(f"damaged; its storage {excerpt(key)} has the wrong length")
    return value


def _legacy(file: io.BytesIO) -> Any:
    """Read the rest of a file in PyTorch's old format: version, system, value, storage keys, storages."""
    if load(file, {}) != _LEGACY_PROTOCOL:
        raise UnpicklingError("damaged; it has an unknown version of PyTorch's old format")
    system = load(file, {})
    if type(system) is not dict:
        raise UnpicklingError("damaged; the byte order of its machine is missing")
    storages = _Storages()
    value = load(file, NAMES, storages)
    keys = load(file, {})
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(storages):
        raise UnpicklingError("damaged; it lists other storages than it refers to")
    for key in keys:
        storage = storages[key]
        storage.big_endian = system.get("little_endian") is False
        (count,) = struct.unpack(">q" if storage.big_endian else "<q", file.read(8))
        storage.raw = file.read(storage.size)
        if count != storage.count or len(storage.raw) != storage.size:
            raise UnpicklingError(f"damaged; its storage {excerpt(key)} has the wrong length")
    return value
