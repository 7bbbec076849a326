"""Feature extraction. Threads resize the next images while the network runs, to keep all cores or the GPU busy."""

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

BATCH = 32  # images per batch of the network
THREADS = min(8, os.cpu_count() or 1)


class FeatureExtractor:
    """Computes features of square images uint8 (N, H, W, 1 or 3). An image's features don't depend on the rest of its
    batch."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.network = weights.open()

    @property
    def width(self) -> int:
        """Number of features per image."""
        return int(self.network.width)

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield features float32 (n, width) in the order of the images, for at most BATCH images at a time."""
        pending: deque[list[Future[np.ndarray]]] = deque()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="ganzoo-features") as pool:
            for batch in _rebatch(batches):
                pending.append([pool.submit(self._preprocess, image) for image in batch])
                if len(pending) > 1:
                    yield self._features(pending.popleft())
            while pending:
                yield self._features(pending.popleft())

    def _preprocess(self, image: np.ndarray) -> np.ndarray:
        """Return an image as float32 (3, H, W) in [0, 255], resized unless the network resizes on the device."""
        filter_name, side = self.network.resample, self.network.side
        if filter_name and image.shape[:2] != (side, side):
            pixels = image[:, :, 0] if image.shape[2] == 1 else image
            scaled = Image.fromarray(pixels).resize((side, side), getattr(Image.Resampling, filter_name.upper()))
            image = np.asarray(scaled).reshape(side, side, -1)
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
        return np.repeat(planes, 3, 0) if len(planes) == 1 else planes

    def _features(self, preprocessed: list[Future[np.ndarray]]) -> np.ndarray:
        from ganzoo.metrics.networks import resize_bilinear

        jt = jittor()
        with jt.no_grad(), operations.full_precision():
            images = jt.array(np.stack([each.result() for each in preprocessed]))
            run_pending()
            if images.shape[2] != self.network.side:
                images = resize_bilinear(images, self.network.side)
            found: np.ndarray = self.network(images).numpy()
        run_pending()
        return found


def _rebatch(batches: Iterable[Any]) -> Iterator[np.ndarray]:
    """Yield the same images in batches of BATCH; the last batch may be smaller."""
    waiting: list[np.ndarray] = []
    for batch in batches:
        waiting.extend(batch)
        while len(waiting) >= BATCH:
            yield np.stack(waiting[:BATCH])
            waiting = waiting[BATCH:]
    if waiting:
        yield np.stack(waiting)
