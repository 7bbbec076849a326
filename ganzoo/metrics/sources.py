"""Sources of images for metrics: a data set, a generator, a translator."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.data.images import crop_and_resize, load_resized
from ganzoo.errors import DataError
from ganzoo.sampling import sampler
from ganzoo.sampling.translation import TranslationSampler

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.translator import Translator

MOST = 50_000  # default limit for the images of a data set, as is usual for FID
FEWEST_REAL = 1000  # minimum of real images, unless the user asks for fewer or the data set has fewer
BATCH, BATCH_BYTES = 64, 2**28  # limits for the images decoded at once
LATENTS, REFERENCES, CHOICE = 21, 22, 23  # streams of random numbers
OUTPUTS = 10  # translations of each source (Choi et al. 2020, appendix C)
GROUPS = 4  # sources translated at once


class Source(ABC):
    """Images uint8 (H, W, C), the same and in the same order on each iteration."""

    name: str
    count: int  # number of images; after an iteration, without those that could not be read
    bounded = True  # whether a higher limit would give more images

    @abstractmethod
    def batches(self) -> Iterator[np.ndarray]:
        """Yield batches uint8 (N, H, W, C)."""


def real_for(samples: int) -> int:
    """Return the default limit for real images to compare with `samples` generated ones: the same number, but at least
    FEWEST_REAL, because with fewer the result would depend more on their selection than on the generator."""
    return max(samples, FEWEST_REAL)


class Images(Source):
    """Images of a data set, or only of its domain number `domain`, fitted to the size and channels of `data`.

    If there are more than `most`, a random subset is used that depends only on the seed. An image that can't be read is
    reported once and skipped. Raises DataError if there are no images or, with `strict`, if an image has another size.
    """

    def __init__(
        self,
        dataset: Dataset,
        data: DataInfo,
        *,
        domain: int | None = None,
        most: int = MOST,
        seed: int = 0,
        strict: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.dataset, self.data, self.strict, self.say = dataset.at_size(data.size), data, strict, say
        self.domain, self.name = domain, dataset.info.name
        found = np.arange(len(dataset)) if domain is None else np.flatnonzero(dataset.labels() == domain)
        if domain is not None:
            self.name = f"{dataset.info.name}/{dataset.info.domains[domain]}"
        if not len(found):
            raise DataError(f"{self.name}: there is no image in it, so nothing can be evaluated.")
        self.bounded = len(found) > most
        if self.bounded:
            found = np.sort(np.random.default_rng([seed, CHOICE]).permutation(found)[:most])
        self.indices, self.count = found, len(found)
        self._bad: set[int] = set()

    def batches(self) -> Iterator[np.ndarray]:
        at_once = min(BATCH, max(1, BATCH_BYTES // (self.data.size**2 * self.data.channels)))
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="ganzoo-images") as pool:
            ahead = None
            for start in range(0, len(self.indices), at_once):
                following = [pool.submit(self._load, int(index)) for index in self.indices[start : start + at_once]]
                if ahead is not None:
                    yield from _stacked(ahead)
                ahead = following
            yield from _stacked(ahead or [])
        self.count = len(self.indices) - len(self._bad)

    def _load(self, index: int) -> np.ndarray | None:
        size, channels = self.data.size, self.data.channels
        try:
            loaded = self.dataset.load(index) if self.strict else load_resized(self.dataset, index, size, channels)
        except DataError as error:
            if index not in self._bad:
                self._bad.add(index)
                self.say(f"{error} Left out.")
            return None
        image = loaded[0]
        if self.strict and image.shape[:2] != (size, size):
            height, width = image.shape[:2]
            raise DataError(
                f"{self.dataset.describe(index)}: {width} x {height} px, where {size} x {size} are expected "
                "of all images. Name a size to scale them to, with --size."
            )
        return crop_and_resize(image, size, channels)


def _stacked(loading: Sequence[Any]) -> Iterator[np.ndarray]:
    images = [image for each in loading if (image := each.result()) is not None]
    if images:
        yield np.stack(images)


class Latents(Source):
    """Images generated from random latents, without truncation. A style-based generator gets different noise for each
    image."""

    def __init__(self, generator: Any, count: int, seed: int) -> None:
        from ganzoo.interfaces.networks import StyleGenerator

        self.generator, self.count, self.seed = generator, count, seed
        self.name = "random latents"
        self._sampler = sampler.Sampler(generator)
        if isinstance(generator, StyleGenerator):
            from ganzoo.sampling.styles import StyleSampler

            self._sampler = StyleSampler(generator, noise="random")

    def batches(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self.seed, LATENTS])
        latents = (rng.standard_normal(self.generator.latent, "f4") for _ in range(self.count))
        images = self._sampler.images((z, (self.seed, index)) for index, z in enumerate(latents))
        while batch := list(islice(images, sampler.at_once(self.generator))):
            yield np.stack(batch)


class Translations(Source):
    """Each image of `sources` translated `OUTPUTS` times to another domain, with the styles of random latents or, if
    given, of `references`: images of that domain, in random order."""

    def __init__(
        self, translator: Translator, sources: Images, domain: int, references: Images | None = None, seed: int = 0
    ) -> None:
        self.sampler, self.sources, self.domain = TranslationSampler(translator), sources, domain
        self.references, self.seed = references, seed
        self.mode = "latent" if references is None else "reference"
        self.name = f"{sources.name} to {sources.data.domains[domain]}, {self.mode}"

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.sources.count * OUTPUTS

    def batches(self) -> Iterator[np.ndarray]:
        for group in self.groups():
            yield sampler.to_uint8(group.reshape(-1, *group.shape[2:]))

    def groups(self) -> Iterator[np.ndarray]:
        """Yield the translations of N sources at a time: floats (OUTPUTS, N, C, H, W), not limited to [-1, 1]."""
        styles = self._styles()
        for batch in self.sources.batches():
            for start in range(0, len(batch), GROUPS):
                part = batch[start : start + GROUPS]
                wanted = np.stack([next(styles) for _ in part], 1)
                yield np.stack([self.sampler.translate(part, each) for each in wanted])

    def _styles(self) -> Iterator[np.ndarray]:
        """Yield the styles (OUTPUTS, width) for each source, without end."""
        if self.references is None:
            rng, latent = np.random.default_rng([self.seed, LATENTS, self.domain]), self.sampler.translator.latent
            while True:
                z = rng.standard_normal((BATCH, OUTPUTS, latent), "f4").reshape(-1, latent)
                yield from self.sampler.styles_of_latents(z, self.domain).reshape(BATCH, OUTPUTS, -1)
        parts = [self.sampler.styles_of_images(batch, self.domain) for batch in self.references.batches()]
        known = np.concatenate(parts)
        rng = np.random.default_rng([self.seed, REFERENCES, self.domain])
        order: list[int] = []
        while True:
            while len(order) < OUTPUTS:
                order += [int(index) for index in rng.permutation(len(known))]
            yield known[order[:OUTPUTS]]
            order = order[OUTPUTS:]
