"""A limit on the number of pixels that all threads of the process decode at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

BLOCK = 1 << 26  # bytes; freed blocks of this size go back to the system, smaller ones stay with the thread
PIXELS = 1 << 27  # at 4 to 12 bytes each; two large photos, or one of the largest accepted images


class Room:
    """A limit of `most` pixels in use at once. A larger image is admitted when no other is in use."""

    def __init__(self, most: int = PIXELS) -> None:
        self.most, self._held, self._change = most, 0, threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more fit within the limit, and occupy them for the duration of the block."""
        with self._change:
            self._change.wait_for(lambda: not self._held or self._held + pixels <= self.most)
            self._held += pixels
        try:
            yield
        finally:
            with self._change:
                self._held -= pixels
                self._change.notify_all()


with suppress(AttributeError):  # same effect as the environment variable PILLOW_BLOCK_SIZE
    Image.core.set_block_size(BLOCK)  # type: ignore[attr-defined]

room = Room()
