"""Order and augmentation of the training images, as functions of the seed and the number of images already seen.

A run therefore resumes exactly where it stopped, without any other state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset, LoaderConfig

Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the square's side

CROP_AREA, CROP_RATIO = (0.8, 1.0), (0.9, 1.1)  # of a random crop: fraction of the square, and width / height
MAX_ATTEMPTS = 10  # at finding a crop that fits, before the whole square is used
MAX_NAMED = 3  # images that a message names


@dataclass(frozen=True)
class ImageView:
    """An image in a batch: its index, whether it is mirrored, and its crop (None: the whole square). If it can't
    be read, the next readable one of `replacements` (indices of its `domain`'s images; empty: all images) is used."""

    index: int
    mirrored: bool = False
    box: Box | None = None
    replacements: Sequence[int] | np.ndarray = ()
    domain: str = ""


@dataclass(frozen=True)
class Sample:
    """An image and, if the model uses them, two reference images and their domain, `target`; or one image per domain,
    in `domains`, and `image` is the first of them. If they are `paired`, the loader replaces all of them together."""

    image: ImageView
    references: tuple[ImageView, ImageView] | None = None
    target: int = 0
    domains: tuple[ImageView, ...] = ()
    paired: bool = False


class Order(ABC):
    """An endless sequence of images."""

    @abstractmethod
    def at(self, position: int) -> Sample:
        """Return the image that comes after the first `position` images."""


class Shuffle:
    """Endless draws from 0...count-1: each number once per epoch, in a new random order each epoch, and half of them
    mirrored if `flip`. `key` distinguishes shuffles with the same seed."""

    def __init__(self, count: int, seed: int, flip: bool, key: tuple[int, ...] = ()) -> None:
        self.count, self.seed, self.flip, self.key = count, seed, flip, key
        self._epoch = lru_cache(maxsize=2)(self._shuffled)  # two, since a batch can span two epochs

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch, *self.key])
        numbers = rng.permutation(self.count)
        mirrored = rng.random(self.count) < 0.5 if self.flip else np.zeros(self.count, bool)
        return numbers, mirrored

    def at(self, position: int) -> tuple[int, bool]:
        """Return the number that comes after the first `position` numbers, and whether it is mirrored."""
        numbers, mirrored = self._epoch(position // self.count)
        place = position % self.count
        return int(numbers[place]), bool(mirrored[place])


class Shuffled(Order):
    """Every image once per epoch, in a new random order each epoch."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool, crop: float = 0.0) -> None:
        self.seed, self.crop = seed, crop
        self._shuffle = Shuffle(len(dataset), seed, flip)

    def at(self, position: int) -> Sample:
        index, mirrored = self._shuffle.at(position)
        return Sample(ImageView(index, mirrored, _crop_at(position, 0, self.seed, self.crop)))


class PerDomain(Order):
    """An image of every domain at each position. Each domain is shuffled by itself: its images come once per epoch of
    that domain."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool, crop: float) -> None:
        self.seed, self.crop = seed, crop
        self.members, self.names = indices_by_domain(dataset), dataset.info.domains
        self._shuffles = [Shuffle(len(each), seed, flip, (domain, 3)) for domain, each in enumerate(self.members)]

    def at(self, position: int) -> Sample:
        views = tuple(self._view(domain, position) for domain in range(len(self.members)))
        return Sample(views[0], domains=views)

    def _view(self, domain: int, position: int) -> ImageView:
        """Return the domain's image that comes after the first `position` images of this domain."""
        place, mirrored = self._shuffles[domain].at(position)
        members = self.members[domain]
        box = _crop_at(position, domain, self.seed, self.crop)
        return ImageView(int(members[place]), mirrored, box, members, self.names[domain])


class Balanced(PerDomain):
    """One image at each position, of all domains in turn. The turns are in the same order throughout the run, because
    otherwise the domains' frequencies in a batch could differ by two."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool, crop: float) -> None:
        super().__init__(dataset, seed, flip, crop)
        self._turns = np.random.default_rng([seed, 0, 0, 5]).permutation(len(self.members))

    def at(self, position: int) -> Sample:
        cycle, turn = divmod(position, len(self._turns))
        return Sample(self._view(int(self._turns[turn]), cycle))


class Paired(Order):
    """Images of the same name from every domain, all mirrored and cropped alike. Every pair comes once per epoch."""

    def __init__(self, dataset: Dataset, seed: int, flip: bool, crop: float) -> None:
        self.seed, self.crop = seed, crop
        self.members, self.names = indices_by_name(dataset), dataset.info.domains
        if (validation := dataset.validation()) is not None:
            indices_by_name(validation)  # a partner that is missing there should be noticed before training, too
        self._shuffle = Shuffle(len(self.members[0]), seed, flip, (0, 6))

    def at(self, position: int) -> Sample:
        pair, mirrored = self._shuffle.at(position)
        box = _crop_at(position, 0, self.seed, self.crop)
        views = tuple(
            ImageView(int(members[pair]), mirrored, box, members, name)
            for members, name in zip(self.members, self.names)
        )
        return Sample(views[0], domains=views, paired=True)


class WithReferences(Order):
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
    """Return the indices of each domain's images. DataError if a domain has none, or if there are no domains."""
    if not dataset.info.domains:
        raise DataError(
            f"{dataset.info.name}: its images have no domains, which this model needs. Put the images of each domain "
            "into a folder of its own."
        )
    labels = dataset.labels()
    members = [np.flatnonzero(labels == label) for label in range(len(dataset.info.domains))]
    for name, indices in zip(dataset.info.domains, members):
        if not len(indices):
            raise DataError(f"{dataset.info.name}: the domain {name!r} has no images. Add some, or remove its folder.")
    return members


def indices_by_name(dataset: Dataset) -> np.ndarray:
    """Return the indices of the images of each name, int (domains, names), in the order of the names. DataError if an
    image has no partner in some domain, or if a domain has two images of one name."""
    found, alone = _by_name(dataset)
    if alone:
        raise DataError(_without_partner(dataset.info.name, alone))
    return np.array([[each[name] for name in sorted(found[0])] for each in found], np.int64)


def describe_pairs(dataset: Dataset) -> str:
    """Say how many names are in every domain, and which images have no partner; "" if there are more such images than
    pairs, because then equal names are a coincidence, or if the images have no names."""
    if len(dataset.info.domains) < 2:
        return ""
    try:
        found, alone = _by_name(dataset)
    except DataError:
        return ""
    common = set.intersection(*map(set, found))
    if len(alone) >= len(common):
        return ""
    without = f"; without a partner: {_listed(alone)}" if alone else ""
    return f"pairs (images of the same name in every domain): {len(common):,}{without}"


def _by_name(dataset: Dataset) -> tuple[list[dict[str, int]], list[str]]:
    """Return the indices of each domain's images by their names, and the images that have no partner."""
    found: list[dict[str, int]] = [{} for _ in indices_by_domain(dataset)]
    for index, (name, label) in enumerate(zip(dataset.names(), dataset.labels())):
        if label < 0:  # unreadable
            continue
        if (other := found[label].setdefault(name, index)) != index:
            raise DataError(
                f"{dataset.info.name}: {dataset.describe(other)} and {dataset.describe(index)} have the same name, so "
                "it is unclear which one belongs to the images of other domains. Rename or remove one."
            )
    common = set.intersection(*map(set, found))
    domains = dataset.info.domains
    return found, [f"{domain}/{name}" for domain, each in zip(domains, found) for name in each if name not in common]


def _without_partner(dataset: str, images: Sequence[str]) -> str:
    count = len(images)
    which = "image has no partner" if count == 1 else "images have no partner"
    return (
        f"{dataset}: {count:,} {which} of the same name in another domain: {_listed(images)}. Add the missing "
        f"ones, or remove {'it' if count == 1 else 'these'}."
    )


def _listed(images: Sequence[str]) -> str:
    return ", ".join(images[:MAX_NAMED]) + (", ..." if len(images) > MAX_NAMED else "")


def _crop_at(position: int, domain: int, seed: int, probability: float) -> Box | None:
    """Return the crop of an image at a position: a random one with this probability, otherwise None."""
    if not probability:
        return None
    rng = np.random.default_rng([seed, position, domain, 4])
    return random_box(rng) if rng.random() < probability else None


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
    """Return the order that a model asks for. ValueError if it asks for more than one; DataError if the data set does
    not allow it."""
    orders: dict[str, Callable[[Dataset, int, bool, float], Order]] = {
        "per_domain": PerDomain,
        "paired": Paired,
        "balanced": Balanced,
        "references": WithReferences,
    }
    chosen = [name for name in orders if getattr(config, name)]
    if len(chosen) > 1:
        raise ValueError(f"LoaderConfig: {' and '.join(chosen)} exclude each other; choose one")
    order = orders[chosen[0]] if chosen else Shuffled
    return order(dataset, seed, flip, config.crop_probability)
