"""Access to the jittor module, once `ganzoo.backend.start` has imported it."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

from ganzoo.errors import BackendError

_jittor: Any = None
_device = ""
_lock = threading.RLock()


def set_jittor(module: Any, device: str) -> None:
    """Store the module and the device that it was started on."""
    global _jittor, _device
    _jittor, _device = module, device


def started() -> bool:
    """Whether Jittor has been started in this process."""
    return _jittor is not None


def jittor() -> Any:
    """Return the jittor module. Raises BackendError before `start` has chosen a device."""
    if _jittor is None:
        raise BackendError("Jittor is not started yet: call ganzoo.start() first; it chooses the device.")
    return _jittor


def device() -> str:
    """Return 'cpu' or 'cuda'. Raises BackendError before `start` has chosen one."""
    jittor()
    return _device


def exclusive() -> AbstractContextManager[Any]:
    """Return a lock that lets one thread at a time use Jittor, whose graph and caches are not thread-safe."""
    return _lock


def run_pending() -> None:
    """Run every operation that has been created but not run, without waiting for a GPU to finish."""
    jittor().sync_all()


def wait() -> None:
    """Run everything pending and wait until the device has finished; needed before timing."""
    jittor().sync_all(True)
