"""From images to features, with both cores or the GPU busy: threads scale the next images while the network works."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from ganzoo.backend import jittor, operations, run_pending
from ganzoo.metrics.backbones import Weights

BATCH = 32  # images at once
THREADS = min(8, os.cpu_count() or 1)


class FeatureExtractor:
    """A backbone for square images uint8 (N, H, W, 1 or 3). Features of an image don't depend on the others."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.network = weights.open()

    @property
    def width(self) -> int:
        """Numbers for each image."""
        return int(self.network.width)

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Features float32 (n, width), in the order of the images, as many at once as suits the network."""
        ahead: deque[list[Future[np.ndarray]]] = deque()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="ganzoo-features") as pool:
            for batch in _regrouped(batches):
                ahead.append([pool.submit(self._prepared, image) for image in batch])
                if len(ahead) > 1:
                    yield self._features(ahead.popleft())
            while ahead:
                yield self._features(ahead.popleft())

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        """(3, side, side) in [0, 255], at its own size if the device is to scale it."""
        filter_name, side = self.network.resample, self.network.side
        if filter_name and image.shape[:2] != (side, side):
            pixels = image[:, :, 0] if image.shape[2] == 1 else image
            scaled = Image.fromarray(pixels).resize((side, side), getattr(Image.Resampling, filter_name.upper()))
            image = np.asarray(scaled).reshape(side, side, -1)
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
        return np.repeat(planes, 3, 0) if len(planes) == 1 else planes

    def _features(self, prepared: list[Future[np.ndarray]]) -> np.ndarray:
        from ganzoo.metrics.networks import resized

        jt = jittor()
        with jt.no_grad(), operations.full_precision():
            images = jt.array(np.stack([each.result() for each in prepared]))
            run_pending()
            if images.shape[2] != self.network.side:
                images = resized(images, self.network.side)
            found: np.ndarray = self.network(images).numpy()
        run_pending()
        return found


def _regrouped(batches: Iterable[Any]) -> Iterator[np.ndarray]:
    """The same images, BATCH at once."""
    waiting: list[np.ndarray] = []
    for batch in batches:
        waiting.extend(batch)
        while len(waiting) >= BATCH:
            yield np.stack(waiting[:BATCH])
            waiting = waiting[BATCH:]
    if waiting:
        yield np.stack(waiting)
