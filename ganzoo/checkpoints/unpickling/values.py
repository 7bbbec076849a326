"""The names that a weights file may refer to, and harmless stand-ins for them: tensors, arrays, numbers.

`machine` calls a stand-in where `pickle` would import and call what the name refers to. The stand-ins check their
arguments, since a damaged or hostile file may pass anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ganzoo.checkpoints.unpickling.machine import Budget, Deferred, UnpicklingError, excerpt

BFLOAT16 = "bfloat16"
_MAX_ELEMENTS = 2**60
_MAX_DIMENSIONS = 32  # NumPy's limit

# Prefixes of PyTorch's storage classes -> dtypes of their elements.
_STORAGES = {
    "Half": "float16",
    "BFloat16": BFLOAT16,
    "Float": "float32",
    "Double": "float64",
    "Char": "int8",
    "Byte": "uint8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Bool": "bool",
}
_DTYPES = (*_STORAGES.values(), "uint16", "uint32", "uint64")
_NUMPY_CODES = {np.dtype(dtype).str[1:]: dtype for dtype in _DTYPES if dtype != BFLOAT16}


@dataclass(frozen=True)
class StorageType:
    """Stand-in for one of PyTorch's storage classes, such as torch.FloatStorage."""

    dtype: str

    @property
    def width(self) -> int:
        """Bytes per element."""
        return 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize


class Storage(Deferred):
    """A 1-D array whose bytes lie outside the pickle; the reader of the container format sets `raw`."""

    raw: bytes
    big_endian = False

    def __init__(self, type_: StorageType, count: int) -> None:
        self.type, self.count = type_, _index(count)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.type.width * self.count

    def numbers(self, dtype: str, budget: Budget) -> np.ndarray:
        """Return the bytes as a 1-D array of the dtype."""
        return _numbers(self.raw, dtype, ">" if self.big_endian else "<", budget)

    def make(self, budget: Budget) -> np.ndarray:
        return _read_only(self.numbers(self.type.dtype, budget), budget)


class Tensor(Deferred):
    """A view of a storage, as in PyTorch: offset, sizes and strides count elements, not bytes."""

    def __init__(
        self, storage: Any, offset: Any, sizes: Any, strides: Any, dtype: str | None = None, metadata: Any = None
    ) -> None:
        if not isinstance(storage, Storage):
            raise UnpicklingError("damaged; a tensor has no storage")
        if metadata not in (None, {}):  # the values differ from the stored ones, as with {"neg": True}
            raise UnpicklingError(
                "not readable; it has a tensor that is a lazy view (conjugate or negative), save its .clone() instead"
            )
        self.storage, self.offset, self.dtype = storage, _index(offset), dtype
        self.sizes, self.strides = _indices(sizes), _indices(strides)
        if len(self.sizes) != len(self.strides):
            raise UnpicklingError("damaged; a tensor's sizes and strides differ in number")

    def make(self, budget: Budget) -> np.ndarray:
        numbers = self.storage.numbers(self.dtype, budget) if self.dtype else self.storage.value(budget)
        if 0 in self.sizes:
            return _read_only(np.empty(self.sizes, numbers.dtype), budget)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides))
        if last >= len(numbers):
            raise UnpicklingError("damaged; a tensor extends past its storage")
        width = numbers.itemsize
        strides = [width * stride for stride in self.strides]
        return _read_only(np.ndarray(self.sizes, numbers.dtype, numbers, width * self.offset, strides), budget)


class DType(Deferred):
    """Stand-in for numpy.dtype(code, align, copy); the BUILD opcode sets the byte order."""

    order = "="

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str:
            raise UnpicklingError("damaged; an array's dtype is malformed")
        if code not in _NUMPY_CODES:
            raise UnpicklingError(f"refused; it has arrays of NumPy's dtype {excerpt(code)}, which weights don't have")
        self.name = _NUMPY_CODES[code]

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError("damaged; an array's dtype is malformed")
        self.order = state[1]

    def make(self, budget: Budget) -> str:
        return self.name


class Array(Deferred):
    """A NumPy array whose data is in the pickle."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5:
            raise UnpicklingError("damaged; an array's description is malformed")
        _, sizes, dtype, fortran, data = state
        self.state = data, dtype, sizes, "F" if fortran else "C"

    def make(self, budget: Budget) -> np.ndarray:
        data, dtype, sizes, order = self.state
        if not isinstance(dtype, DType):
            raise UnpicklingError("damaged; an array has no dtype")
        numbers = _numbers(_bytes(data, budget), dtype.name, dtype.order, budget)
        return _read_only(numbers.reshape(_indices(sizes), order="F" if order == "F" else "C"), budget)


class Number(Deferred):
    """A NumPy scalar, read as a Python number."""

    def __init__(self, dtype: Any, data: Any) -> None:
        if not isinstance(dtype, DType):
            raise UnpicklingError("damaged; a number has no dtype")
        self.dtype, self.data = dtype, data

    def make(self, budget: Budget) -> Any:
        return _numbers(_bytes(self.data, budget), self.dtype.name, self.dtype.order, budget).item()


class Latin1(Deferred):
    """Bytes as pickles before protocol 3 store them: a text with one Latin-1 character per byte."""

    def __init__(self, text: str, encoding: str) -> None:
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise UnpicklingError("damaged; its bytes are not encoded as in a pickle")
        self.text = text

    def make(self, budget: Budget) -> bytes:
        budget.spend(len(self.text))
        return self.text.encode("latin-1")


def _bytes(data: Any, budget: Budget) -> bytes:
    if type(data) is str:  # Python 2 used the same type for text and bytes
        data = Latin1(data, "latin1")
    if isinstance(data, Latin1):
        data = data.value(budget)
    if type(data) is not bytes:
        raise UnpicklingError("damaged; an array has no data")
    return data


def _index(number: Any) -> int:
    if type(number) is not int or not 0 <= number < _MAX_ELEMENTS:
        raise UnpicklingError("damaged; a size, a stride or an offset is out of range")
    return number


def _indices(numbers: Any) -> tuple[int, ...]:
    if type(numbers) is not tuple or len(numbers) > _MAX_DIMENSIONS:
        raise UnpicklingError("damaged; the sizes of an array are malformed")
    return tuple(map(_index, numbers))


def _numbers(raw: bytes, dtype: str, order: str, budget: Budget) -> np.ndarray:
    """Return `raw` as a 1-D array in native byte order; a view where possible."""
    if dtype == "bool":
        budget.spend(len(raw))
        return np.frombuffer(raw, np.uint8) != 0
    if dtype == BFLOAT16:  # the upper half of a float32
        budget.spend(4 * len(raw))
        return (np.frombuffer(raw, order + "u2").astype(np.uint32) << 16).view(np.float32)
    numbers = np.frombuffer(raw, np.dtype(order + np.dtype(dtype).str[1:]))
    if numbers.dtype.isnative:
        return numbers
    budget.spend(len(raw))
    return numbers.astype(dtype)


def _read_only(array: np.ndarray, budget: Budget) -> np.ndarray:
    if not array.flags.c_contiguous:
        budget.spend(array.size * array.itemsize)
        array = array.copy(order="C")
    array.flags.writeable = False
    return array


def _ordered_dict(items: Any = None) -> dict[Any, Any]:
    """Stand-in for OrderedDict. Pickles of Python 3 add the items later; those of Python 2 pass a list of two-item
    lists. That list is emptied, since a small file could refer to a long list again and again."""
    if items is None:
        return {}
    if type(items) is not list:
        raise UnpicklingError("damaged; the items of a dictionary are not a list")
    found = dict(items)
    items.clear()
    return found


def _namespace() -> dict[Any, Any]:
    """Stand-in for argparse.Namespace, the options of a training script; they are not needed."""
    return {}


def _empty_bytes() -> bytes:
    return b""


def _tensor(
    storage: Any, offset: Any, sizes: Any, strides: Any, grad: Any = None, hooks: Any = None, metadata: Any = None
) -> Tensor:
    return Tensor(storage, offset, sizes, strides, metadata=metadata)


def _tensor_of_dtype(
    storage: Any, offset: Any, sizes: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    if type(dtype) is not str or dtype not in _DTYPES:
        raise UnpicklingError("damaged; a tensor has no dtype")
    return Tensor(storage, offset, sizes, strides, dtype, metadata)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise UnpicklingError("damaged; a parameter is not a tensor")
    return tensor


def _variable(array: Any) -> Array:
    if not isinstance(array, Array):
        raise UnpicklingError("damaged; a Jittor variable is not an array")
    return array


def _device(kind: Any, index: Any = None) -> str:
    if type(kind) is not str:
        raise UnpicklingError("damaged; a device has no name")
    return kind if index is None else f"{kind}:{_index(index)}"


_NDARRAY = "numpy.ndarray"


def _empty_array(dtype: Any, *_: Any) -> Array:
    if dtype is not _NDARRAY:
        raise UnpicklingError("damaged; an array is not a numpy.ndarray")
    return Array(None, None, None, None)


_NUMPY_NAMES = {
    "multiarray._reconstruct": _empty_array,
    "multiarray.scalar": Number,
    "numeric._frombuffer": Array,
}

# Every name that a file may refer to, and its stand-in. None of the names is imported.
NAMES: dict[str, Any] = {
    "argparse.Namespace": _namespace,
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": Latin1,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _indices,
    "torch.device": _device,
    "torch.storage.UntypedStorage": StorageType("uint8"),
    **{f"torch.{name}Storage": StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{f"torch.{dtype}": dtype for dtype in _DTYPES},
    "numpy.dtype": DType,
    _NDARRAY: _NDARRAY,
    **{f"numpy.{core}.{name}": build for core in ("core", "_core") for name, build in _NUMPY_NAMES.items()},
    **dict.fromkeys(("jittor.Var", "jittor_core.Var", "jittor.jittor_core.Var"), _variable),
}
