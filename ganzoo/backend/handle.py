"""The started Jittor, for whoever needs it. `ganzoo.backend.start` sets it."""

from __future__ import annotations

from typing import Any

from ganzoo.errors import BackendError

_jittor: Any = None
_device = ""


def set_jittor(module: Any, device: str) -> None:
    """Keep the module, and the device that it was started on."""
    global _jittor, _device
    _jittor, _device = module, device


def started() -> bool:
    """Whether Jittor is started in this process."""
    return _jittor is not None


def jittor() -> Any:
    """The jittor module. BackendError before `start` has chosen its device."""
    if _jittor is None:
        raise BackendError("Jittor is not started yet: call ganzoo.start() first, which chooses the device.")
    return _jittor


def device() -> str:
    """'cpu' or 'cuda'. BackendError before `start` has chosen it."""
    jittor()
    return _device


def run_pending() -> None:
    """Run every operation that has been written but not run. Does not wait for a GPU to finish."""
    jittor().sync_all()


def wait() -> None:
    """Run everything pending and wait until the device has finished; needed before timing."""
    jittor().sync_all(True)
