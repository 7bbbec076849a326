"""Batches in a seeded order that can resume at any position, decoded ahead by threads.

The order is a function of the seed and the number of images already seen, so exact resume needs no state.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ganzoo.data.attributes import read_attributes
from ganzoo.data.images import load_resized
from ganzoo.data.order import ImageView, Sample, make_order
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset, LoaderConfig

PREFETCH = 3  # batches decoded in advance
MIN_BAD_SAMPLE = 100  # unreadable images that must be drawn before their share of the data set is estimated
LEFT_OUT = "Left out of training."  # end of the message about an unreadable image
CACHE_BYTES = 256 * 2**20  # of decoded images for later epochs: decoding small images is slower than training


class ReadErrors:
    """Record of unreadable images: their indices in `bad`, and how many of the `drawn` images were unreadable. Shared
    by all loaders of a training run."""

    def __init__(self) -> None:
        self.bad, self.drawn, self.drawn_bad, self.lock = set[int](), 0, 0, threading.Lock()

    def count(self, bad: bool) -> None:
        """Count a drawn image. (Don't count its replacements: unreadable images are often neighbours.)"""
        with self.lock:
            self.drawn += 1
            self.drawn_bad += bad

    def mostly_bad(self, images: int) -> bool:
        """Return whether most of a data set's `images` are unreadable, by count or by estimate from the drawn ones."""
        by_sample = self.drawn_bad >= MIN_BAD_SAMPLE and 3 * self.drawn_bad > 2 * self.drawn
        return 2 * len(self.bad) > images or by_sample


@dataclass(frozen=True)
class ImageBatch:
    """uint8 images (N, H, W, C) and their labels (N,). If the model uses references, also two per image
    (2, N, H, W, C), and their labels `targets` (N,). If it draws from each domain, `domains` holds N images of each
    (D, N, H, W, C), the first of which are `images`. If the data has attributes, those of `images` (N, A), and of
    `domains` (D, N, A)."""

    images: np.ndarray
    labels: np.ndarray
    references: np.ndarray | None = None
    targets: np.ndarray | None = None
    domains: np.ndarray | None = None
    attributes: np.ndarray | None = None
    domain_attributes: np.ndarray | None = None

    def slice(self, start: int, stop: int) -> ImageBatch:
        """Return the images from `start` to `stop`, of each domain if there are several."""
        by_image, by_group = (self.targets, self.attributes), (self.references, self.domains, self.domain_attributes)
        targets, attributes = (None if each is None else each[start:stop] for each in by_image)
        references, domains, domain_attributes = (None if each is None else each[:, start:stop] for each in by_group)
        images, labels = self.images[start:stop], self.labels[start:stop]
        return ImageBatch(images, labels, references, targets, domains, attributes, domain_attributes)


class LoadedImage(NamedTuple):
    """An image uint8 (H, W, C) with its label, and its index in the data set."""

    pixels: np.ndarray
    label: int
    image_index: int


class Loader:
    """An endless stream of batches of `batch` images (of each domain, if `config` asks for that), `size` px with
    `channels` channels.

    `config` defines the order; a batch may span two epochs. `flip` mirrors half of the images at random. An unreadable
    image is reported once and replaced by the next readable one: of its domain, if `config` chooses by domain; together
    with its partners, if it is paired. DataError if most images are unreadable. `read_errors` can be shared with other
    loaders. Up to `cache_bytes` bytes of decoded images are cached.
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
        config: LoaderConfig = LoaderConfig(),  # noqa: B008 (it is frozen)
        workers: int = 2,
        stride: int | None = None,
        on_bad_image: Callable[[str], None] = lambda message: None,
        read_errors: ReadErrors | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if len(dataset) < 1:
            raise DataError(f"{dataset.info.name}: contains no images.")
        self.dataset, self.batch, self.size, self.channels = dataset, batch, size, channels
        self.workers, self.on_bad_image, self.stride = workers, on_bad_image, stride or batch
        self._order = make_order(dataset, config, seed, flip)
        self._attributes = read_attributes(dataset)
        self._read_errors = read_errors or ReadErrors()
        self._cache: dict[int, tuple[np.ndarray, int]] = {}
        self._cache_left = cache_bytes

    def order(self, position: int, count: int) -> list[int]:
        """Return the indices of the `count` images that come after the first `position`."""
        return [self._order.at(at).image.index for at in range(position, position + count)]

    def batches(self, position: int = 0) -> Iterator[ImageBatch]:
        """Yield batches without end, starting after the first `position` images."""
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
        samples = [self._order.at(at) for at in range(position, position + self.batch)]
        loaded = [self._load_sample(sample) for sample in samples]
        if self._read_errors.mostly_bad(len(self.dataset)):
            raise self._mostly_bad()
        images, *others = (np.stack([each.pixels for each in row]) for row in zip(*loaded))
        batch = ImageBatch(images, np.array([first.label for first, *_ in loaded]))
        if samples[0].domains:
            domains = np.stack([images, *others])
            batch = replace(batch, images=domains[0], domains=domains)
        if self._attributes is not None:
            values = self._attributes[np.array([[each.image_index for each in row] for row in zip(*loaded)])]
            batch = replace(batch, attributes=values[0], domain_attributes=values if samples[0].domains else None)
        return self._with_references(batch, samples) if samples[0].references else batch

    def _load_sample(self, sample: Sample) -> list[LoadedImage]:
        """Load a sample's image, or its images of all domains."""
        if sample.paired:
            return self._load(*sample.domains)
        return [each for view in sample.domains or (sample.image,) for each in self._load(view)]

    def _with_references(self, batch: ImageBatch, samples: list[Sample]) -> ImageBatch:
        pairs = zip(*(sample.references for sample in samples if sample.references))
        references = np.stack([np.stack([self._load(view)[0].pixels for view in views]) for views in pairs])
        return replace(batch, references=references, targets=np.array([sample.target for sample in samples]))

    def _load(self, *views: ImageView) -> list[LoadedImage]:
        """Load the images of these views. If one can't be read, all of them are replaced."""
        for indices in zip(*map(self._candidates, views)):
            loaded = [each for at, view in zip(indices, views) if (each := self._load_one(at, view)) is not None]
            if len(loaded) == len(views):
                self._read_errors.count(bad=indices[0] != views[0].index)
                return loaded
        count, domain = len(views[0].replacements), views[0].domain
        which = f"the {count} images of the domain {domain!r}" if count else f"its {len(self.dataset)} images"
        which = f"the {count} pairs of images" if len(views) > 1 else which
        raise DataError(f"{self.dataset.info.name}: none of {which} can be read.")

    def _load_one(self, index: int, view: ImageView) -> LoadedImage | None:
        """Load an image, mirrored and cropped like the view; None if it can't be read."""
        if index in self._read_errors.bad:
            return None
        try:
            image, label = self._load_cached(index, view)
        except DataError as error:
            self._report(index, error)
            return None
        return LoadedImage(image[:, ::-1] if view.mirrored else image, label, index)

    def _mostly_bad(self) -> DataError:
        bad, name = len(self._read_errors.bad), self.dataset.info.name
        return DataError(
            f"{name}: most of its images can't be read ({bad:,} of {len(self.dataset):,} so far), so training stops. "
            f"`ganzoo data check` lists them all; repair or remove them."
        )

    def _load_cached(self, index: int, view: ImageView) -> tuple[np.ndarray, int]:
        found = self._cache.get(index) if view.box is None else None
        if found is None:
            found = load_resized(self.dataset, index, self.size, self.channels, view.box)
            if view.box is not None:  # a different crop each time, so caching is useless
                return found
            # Not locked: two threads may count an image twice, or exceed the limit slightly.
            if self._cache_left >= found[0].nbytes:
                self._cache_left -= found[0].nbytes
                self._cache[index] = found
        return found

    def _candidates(self, view: ImageView) -> Iterator[int]:
        """Yield the index of a view's image, then the indices of its possible replacements."""
        yield view.index
        if len(view.replacements):
            (start,) = np.flatnonzero(np.asarray(view.replacements) == view.index)
            yield from (int(each) for each in np.roll(view.replacements, -start - 1)[:-1])
        else:
            yield from ((view.index + step) % len(self.dataset) for step in range(1, len(self.dataset)))

    def _report(self, index: int, error: DataError) -> None:
        read_errors = self._read_errors
        with read_errors.lock:  # two threads can find the same unreadable image at once
            if index in read_errors.bad:
                return
            self.on_bad_image(f"{error} {LEFT_OUT}")
            read_errors.bad.add(index)
