"""A limit on the number of pixels that all threads of the process decode at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

BLOCK_BYTES = 1 << 26  # bytes; freed blocks of this size go back to the system, smaller ones stay with the thread
MAX_PIXELS = 1 << 27  # of 4 to 12 bytes each; enough for two large photos, or one image of the largest accepted size


class PixelBudget:
    """A limit of `limit` pixels in use at once. An image larger than the limit is admitted when no other is in use."""

    def __init__(self, limit: int = MAX_PIXELS) -> None:
        self.limit, self._reserved, self._changed = limit, 0, threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more fit within the limit, and occupy them for the duration of the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved or self._reserved + pixels <= self.limit)
            self._reserved += pixels
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= pixels
                self._changed.notify_all()


with suppress(AttributeError):  # same effect as the environment variable PILLOW_BLOCK_SIZE
    Image.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]

pixel_budget = PixelBudget()
