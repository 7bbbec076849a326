"""A bound on the pixels that all threads of the process unpack at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

BLOCK = 1 << 26  # bytes; the system gets blocks so large back when a thread frees them, smaller ones stay the thread's
PIXELS = 1 << 27  # at 4 to 12 bytes; two large photos, or one of the largest that are read


class Room:
    """`most` pixels. A picture of more gets in when it is alone."""

    def __init__(self, most: int = PIXELS) -> None:
        self.most, self._held, self._change = most, 0, threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for so many, and hold it."""
        with self._change:
            self._change.wait_for(lambda: not self._held or self._held + pixels <= self.most)
            self._held += pixels
        try:
            yield
        finally:
            with self._change:
                self._held -= pixels
                self._change.notify_all()


with suppress(AttributeError):  # as Pillow's environment variable PILLOW_BLOCK_SIZE does
    Image.core.set_block_size(BLOCK)  # type: ignore[attr-defined]

room = Room()
