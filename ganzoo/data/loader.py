"""Batches in a seeded order that can continue at any position, decoded ahead by threads.

The order is a function of the seed and the number of images already seen, so exact resume needs no state.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ganzoo.data.images import fit
from ganzoo.data.order import Drawn, View, order
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset, Draw

PREFETCH = 3  # batches decoded ahead of the one in use
MANY = 100  # images that can't be read, and tell something of the others in a large set
KEPT = 256 * 2**20  # bytes of decoded images that are kept for later epochs: small ones train faster than they decode


class Readings:
    """Which images can't be read, by their indices, and of how many that were drawn: shared by the loaders of a
    training."""

    def __init__(self) -> None:
        self.bad, self.drawn, self.drawn_bad, self.lock = set[int](), 0, 0, threading.Lock()

    def count(self, bad: bool) -> None:
        """Another image was drawn. (Those in its place don't count: bad ones often lie beside each other.)"""
        with self.lock:
            self.drawn += 1
            self.drawn_bad += bad

    def mostly_bad(self, images: int) -> bool:
        """Whether most of so many can't be read, for certain or by what was drawn."""
        by_sample = self.drawn_bad >= MANY and 3 * self.drawn_bad > 2 * self.drawn
        return 2 * len(self.bad) > images or by_sample


@dataclass(frozen=True)
class ImageBatch:
    """uint8 images (N, H, W, C) and their labels (N,); beside them, if the model wants references, two for each image,
    (2, N, H, W, C), and the label of both, (N,)."""

    images: np.ndarray
    labels: np.ndarray
    references: np.ndarray | None = None
    targets: np.ndarray | None = None

    def part(self, start: int, stop: int) -> ImageBatch:
        """The images from `start` to `stop`."""
        references, targets = self.references, self.targets
        return ImageBatch(
            self.images[start:stop],
            self.labels[start:stop],
            None if references is None else references[:, start:stop],
            None if targets is None else targets[start:stop],
        )


class Loader:
    """An endless stream of batches of `batch` images, `size` px and `channels` channels.

    They are drawn as `draw` says; batches run over the end of an epoch. `flip` mirrors half of the images. An image
    that can't be read is reported once and replaced by the next good one (of its domain, if domains are balanced);
    If most can't be read, that is a DataError. `readings` can be shared with other loaders. Decoded images are kept, up
    to `kept` bytes.
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
        draw: Draw = Draw(),  # noqa: B008 (it is frozen)
        workers: int = 2,
        stride: int | None = None,
        on_bad_image: Callable[[str], None] = lambda message: None,
        readings: Readings | None = None,
        kept: int = KEPT,
    ) -> None:
        if len(dataset) < 1:
            raise DataError(f"{dataset.info.name}: no image in it.")
        self.dataset, self.batch, self.size, self.channels = dataset, batch, size, channels
        self.workers, self.on_bad_image, self.stride = workers, on_bad_image, stride or batch
        self._order = order(dataset, draw, seed, flip)
        self._readings = readings or Readings()
        self._kept: dict[int, tuple[np.ndarray, int]] = {}
        self._room = kept

    def order(self, position: int, count: int) -> list[int]:
        """Indices of the `count` images that come after `position` images have been seen."""
        return [self._order.at(at).image.index for at in range(position, position + count)]

    def batches(self, position: int = 0) -> Iterator[ImageBatch]:
        """Batches from the point where `position` images have been seen, for ever."""
        ahead: deque[Future[ImageBatch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="ganzoo-loader")
        try:
            while True:
                while len(ahead) < PREFETCH:
                    ahead.append(pool.submit(self._load_batch, position))
                    position += self.stride
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load_batch(self, position: int) -> ImageBatch:
        drawn = [self._order.at(at) for at in range(position, position + self.batch)]
        loaded = [self._load(each.image) for each in drawn]
        if self._readings.mostly_bad(len(self.dataset)):
            raise self._mostly_bad()
        batch = ImageBatch(np.stack([image for image, _ in loaded]), np.array([label for _, label in loaded]))
        return self._with_references(batch, drawn) if drawn[0].references else batch

    def _with_references(self, batch: ImageBatch, drawn: list[Drawn]) -> ImageBatch:
        pairs = zip(*(each.references for each in drawn if each.references))
        references = np.stack([np.stack([self._load(view)[0] for view in views]) for views in pairs])
        return ImageBatch(batch.images, batch.labels, references, np.array([each.target for each in drawn]))

    def _load(self, view: View) -> tuple[np.ndarray, int]:
        for at in self._from(view):
            if at in self._readings.bad:
                continue
            try:
                image, label = self._fitted(at, view)
            except DataError as error:
                self._report(at, error)
                continue
            self._readings.count(bad=at != view.index)
            return (image[:, ::-1] if view.mirrored else image), label
        among = len(view.instead)
        those = f"the {among} images of the domain {view.domain!r}" if among else f"its {len(self.dataset)} images"
        raise DataError(f"{self.dataset.info.name}: not one of {those} can be read.")

    def _mostly_bad(self) -> DataError:
        bad, name = len(self._readings.bad), self.dataset.info.name
        return DataError(
            f"{name}: most of its images can't be read ({bad:,} so far, of {len(self.dataset):,}), so training stops. "
            f"`ganzoo data check` names them all; repair or remove them."
        )

    def _fitted(self, index: int, view: View) -> tuple[np.ndarray, int]:
        found = self._kept.get(index) if view.box is None else None
        if found is None:
            image, label = self.dataset.load(index)
            if view.box is not None:  # another part of it each time
                return fit(image, self.size, self.channels, view.box), label
            found = fit(image, self.size, self.channels), label
            if self._room >= found[0].nbytes:  # two threads may count one image twice, or take a little too much
                self._room -= found[0].nbytes
                self._kept[index] = found
        return found

    def _from(self, view: View) -> Iterator[int]:
        """The index of a view, then of those that can take its place."""
        yield view.index
        if len(view.instead):
            start = int(np.searchsorted(view.instead, view.index))
            yield from (int(each) for each in np.roll(view.instead, -start - 1)[:-1])
        else:
            yield from ((view.index + step) % len(self.dataset) for step in range(1, len(self.dataset)))

    def _report(self, index: int, error: DataError) -> None:
        readings = self._readings
        with readings.lock:  # two threads can meet the same bad image at once
            if index in readings.bad:
                return
            self.on_bad_image(f"{error} Left out of training.")
            readings.bad.add(index)
