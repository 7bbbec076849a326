"""Batches in a seeded order that can continue at any position, decoded ahead by threads.

The order is a function of the seed and the number of images already seen, so exact resume needs no state.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ganzoo.data import Dataset
from ganzoo.data.images import fit
from ganzoo.errors import DataError

PREFETCH = 3  # batches decoded ahead of the one in use


@dataclass(frozen=True)
class ImageBatch:
    """uint8 images (N, H, W, C) and their labels (N,)."""

    images: np.ndarray
    labels: np.ndarray


class Loader:
    """An endless stream of batches of `batch` images, `size` px and `channels` channels.

    Every image is seen once per epoch, in a new order each time; batches run over the end of an epoch. `flip`
    mirrors half of the images. An image that can't be read is reported once and replaced by the next good one;
    `bad` holds the indices of those that are known, and can be shared.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        *,
        size: int,
        channels: int,
        seed: int,
        flip: bool = False,
        workers: int = 2,
        on_bad_image: Callable[[str], None] = lambda message: None,
        bad: set[int] | None = None,
    ) -> None:
        if len(dataset) < 1:
            raise DataError(f"{dataset.info.name}: no image in it.")
        self.dataset, self.batch, self.size, self.channels = dataset, batch, size, channels
        self.seed, self.flip, self.workers, self.on_bad_image = seed, flip, workers, on_bad_image
        self._bad = set() if bad is None else bad
        self._bad_lock = threading.Lock()
        self._epoch = lru_cache(maxsize=2)(self._shuffled)  # two, as a batch can run over the end of an epoch

    def order(self, position: int, count: int) -> list[int]:
        """Indices of the `count` images that come after `position` images have been seen."""
        return [index for index, _ in self._upcoming(position, count)]

    def _upcoming(self, position: int, count: int) -> list[tuple[int, bool]]:
        """Index of each of the next `count` images, and whether it is mirrored."""
        length = len(self.dataset)
        upcoming = []
        for at in range(position, position + count):
            indices, mirrored = self._epoch(at // length)
            upcoming.append((int(indices[at % length]), bool(mirrored[at % length])))
        return upcoming

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        indices = rng.permutation(len(self.dataset))
        mirrored = rng.random(len(self.dataset)) < 0.5 if self.flip else np.zeros(len(self.dataset), bool)
        return indices, mirrored

    def batches(self, position: int = 0) -> Iterator[ImageBatch]:
        """Batches from the point where `position` images have been seen, for ever."""
        ahead: deque[Future[ImageBatch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="ganzoo-loader")
        try:
            while True:
                while len(ahead) < PREFETCH:
                    ahead.append(pool.submit(self._load_batch, self._upcoming(position, self.batch)))
                    position += self.batch
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load_batch(self, upcoming: list[tuple[int, bool]]) -> ImageBatch:
        loaded = [self._load(index, mirrored) for index, mirrored in upcoming]
        return ImageBatch(np.stack([image for image, _ in loaded]), np.array([label for _, label in loaded]))

    def _load(self, index: int, mirrored: bool) -> tuple[np.ndarray, int]:
        for step in range(len(self.dataset)):
            at = (index + step) % len(self.dataset)
            if at in self._bad:
                continue
            try:
                image, label = self.dataset.load(at)
            except DataError as error:
                self._report(at, error)
                continue
            image = fit(image, self.size, self.channels)
            return (image[:, ::-1] if mirrored else image), label
        raise DataError(f"{self.dataset.info.name}: not one of its {len(self.dataset)} images can be read.")

    def _report(self, index: int, error: DataError) -> None:
        with self._bad_lock:  # two threads can meet the same bad image at once
            if index not in self._bad:
                self.on_bad_image(f"{error} Left out of training.")
                self._bad.add(index)
