"""Batches in a seeded order that can continue at any position, decoded ahead by threads.

The order is a function of the seed and the number of images already seen, so exact resume needs no state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

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
    mirrors half of the images. An image that can't be read is reported once and replaced by the next good one.
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
    ) -> None:
        self.dataset, self.batch, self.size, self.channels = dataset, batch, size, channels
        self.seed, self.flip, self.workers, self.on_bad_image = seed, flip, workers, on_bad_image
        self._bad: set[int] = set()
        self._epoch_order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def order(self, position: int, count: int) -> list[int]:
        """Indices of the `count` images that come after `position` images have been seen."""
        length = len(self.dataset)
        return [int(self._permutation(at // length)[at % length]) for at in range(position, position + count)]

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch_order[0] != epoch:
            self._epoch_order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset)))
        return self._epoch_order[1]

    def batches(self, position: int = 0) -> Iterator[ImageBatch]:
        """Batches from the point where `position` images have been seen, for ever."""
        ahead: deque[Future[ImageBatch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="ganzoo-loader")
        try:
            while True:
                while len(ahead) < PREFETCH:
                    indices = self.order(position, self.batch)
                    ahead.append(pool.submit(self._load_batch, indices, self._mirrored(position)))
                    position += self.batch
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _mirrored(self, position: int) -> np.ndarray:
        if not self.flip:
            return np.zeros(self.batch, bool)
        return np.random.default_rng([self.seed, 1, position]).random(self.batch) < 0.5

    def _load_batch(self, indices: list[int], mirrored: np.ndarray) -> ImageBatch:
        loaded = [self._load(index, bool(mirror)) for index, mirror in zip(indices, mirrored)]
        return ImageBatch(np.stack([image for image, _ in loaded]), np.array([label for _, label in loaded]))

    def _load(self, index: int, mirrored: bool) -> tuple[np.ndarray, int]:
        for step in range(len(self.dataset)):
            at = (index + step) % len(self.dataset)
            if at in self._bad:
                continue
            try:
                image, label = self.dataset.load(at)
            except DataError as error:
                if at not in self._bad:
                    self._bad.add(at)
                    self.on_bad_image(f"{error} Left out of training.")
                continue
            image = fit(image, self.size, self.channels)
            return (image[:, ::-1] if mirrored else image), label
        raise DataError(f"{self.dataset.info.name}: not one of its {len(self.dataset)} images can be read.")
