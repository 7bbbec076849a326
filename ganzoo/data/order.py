"""Order and augmentation of the training images, as functions of the seed and the number of images already seen.

A run therefore resumes exactly where it stopped, without any other state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset, LoaderConfig

Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the centre square's side

CROP_AREA, CROP_RATIO = (0.8, 1.0), (0.9, 1.1)  # of a random crop: fraction of the square, and width / height
MAX_ATTEMPTS = 10  # at finding a crop that fits, before the whole square is used


@dataclass(frozen=True)
class ImageView:
    """An image in a batch: its index, whether it is mirrored, and its crop (None: the whole centre square). If it can't
    be read, the next readable one of `replacements` (indices of its `domain`'s images; empty: all images) is used."""

    index: int
    mirrored: bool = False
    box: Box | None = None
    replacements: Sequence[int] | np.ndarray = ()
    domain: str = ""


@dataclass(frozen=True)
class Sample:
    """An image and, if the model uses them, two reference images and their domain."""

    image: ImageView
    references: tuple[ImageView, ImageView] | None = None
    target: int = 0


class Order(ABC):
    """An endless sequence of images."""

    @abstractmethod
    def at(self, position: int) -> Sample:
        """Return the image that comes after the first `position` images."""


class Shuffled(Order):
    """Every image once per epoch, in a new random order each epoch."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool) -> None:
        self.count, self.seed, self.flip = len(dataset), seed, flip
        self._epoch = lru_cache(maxsize=2)(self._shuffled)  # two, since a batch can span two epochs

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        indices = rng.permutation(self.count)
        mirrored = rng.random(self.count) < 0.5 if self.flip else np.zeros(self.count, bool)
        return indices, mirrored

    def at(self, position: int) -> Sample:
        indices, mirrored = self._epoch(position // self.count)
        place = position % self.count
        return Sample(ImageView(int(indices[place]), bool(mirrored[place])))


class Balanced(Order):
    """Random images of random domains, with replacement; all domains are equally likely. Each image comes with two
    references from a random target domain (Choi et al. 2020, section 2.2). The second reference is the fixed partner of
    the first."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool, crop: float) -> None:
        self.seed, self.flip, self.crop = seed, flip, crop
        self.members, self.domains = indices_by_domain(dataset), dataset.info.domains
        rng = np.random.default_rng([seed, 0, 1])
        self.partner = np.arange(len(dataset))
        for members in self.members:
            self.partner[members] = rng.permutation(members)

    def at(self, position: int) -> Sample:
        rng = np.random.default_rng([self.seed, position, 2])
        domain, target = rng.integers(len(self.members), size=2)
        index, reference = (int(rng.choice(self.members[each])) for each in (domain, target))
        first = self._view(reference, target, rng)
        return Sample(
            self._view(index, domain, rng), (first, self._view(int(self.partner[reference]), target, rng)), int(target)
        )

    def _view(self, index: int, domain: int, rng: np.random.Generator) -> ImageView:
        box = random_box(rng) if rng.random() < self.crop else None
        return ImageView(index, bool(rng.random() < 0.5) and self.flip, box, self.members[domain], self.domains[domain])


def indices_by_domain(dataset: Dataset) -> list[np.ndarray]:
    """Return the indices of each domain's images. DataError if a domain has none."""
    labels = dataset.labels()
    members = [np.flatnonzero(labels == label) for label in range(len(dataset.info.domains))]
    for name, indices in zip(dataset.info.domains, members):
        if not len(indices):
            raise DataError(f"{dataset.info.name}: the domain {name!r} has no images. Add some, or remove its folder.")
    return members


def random_box(rng: np.random.Generator) -> Box:
    """Return a random crop of a square: area uniform in CROP_AREA, aspect ratio log-uniform in CROP_RATIO."""
    for _ in range(MAX_ATTEMPTS):
        area, ratio = rng.uniform(*CROP_AREA), math.exp(rng.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
            return left, top, left + width, top + height
    return 0.0, 0.0, 1.0, 1.0


def make_order(dataset: Dataset, config: LoaderConfig, seed: int, flip: bool) -> Order:
    """Return the order that a model asks for. ValueError if it asks for crops without references."""
    if config.crop_probability and not config.references:
        raise ValueError("LoaderConfig: crop_probability needs references=True")
    return (
        Balanced(dataset, seed, flip, config.crop_probability) if config.references else Shuffled(dataset, seed, flip)
    )
