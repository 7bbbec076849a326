"""The CUDA version and GPUs of the NVIDIA driver, queried from its library."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

_COMPUTE_MAJOR, _COMPUTE_MINOR = 75, 76  # CUdevice_attribute in cuda.h


@dataclass(frozen=True)
class GPU:
    """A GPU: its name, compute capability such as (9, 0), and memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        return f"{self.name} ({self.memory / 2**30:.0f} GB)"


@dataclass(frozen=True)
class Driver:
    """The newest CUDA version that the driver supports, such as (13, 0), and the visible GPUs."""

    cuda: tuple[int, int]
    gpus: tuple[GPU, ...]


def driver() -> Driver | None:
    """Return the driver of this machine, or None if there is none or it can't be initialised."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
        version, count = ctypes.c_int(), ctypes.c_int()
        if library.cuInit(0) or library.cuDriverGetVersion(ctypes.byref(version)):
            return None
        if library.cuDeviceGetCount(ctypes.byref(count)):
            return None
        gpus = tuple(_gpu(library, index) for index in range(count.value))
    except (OSError, AttributeError):
        return None
    return Driver((version.value // 1000, version.value % 1000 // 10), gpus)


def _gpu(library: Any, index: int) -> GPU:
    device, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(device), index)
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = []
    for attribute in (_COMPUTE_MAJOR, _COMPUTE_MINOR):
        number = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        capability.append(number.value)
    return GPU(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value)
