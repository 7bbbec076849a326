"""Sources of images for metrics: a data set, a generator, a translator."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.backend.pixels import to_uint8
from ganzoo.data.images import crop_and_resize, load_resized
from ganzoo.errors import DataError
from ganzoo.interfaces.loss import one_hot
from ganzoo.sampling import sampler
from ganzoo.sampling.direct_translation import translate_directly
from ganzoo.sampling.translation import TranslationSampler

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.translator import DirectTranslator, Translator

DEFAULT_MAX_IMAGES = 50_000  # default limit for the images of a data set, the usual number for FID
MIN_REAL = 1000  # default minimum of real images, if the data set has as many
BATCH, BATCH_BYTES = 64, 2**28  # limits for the images decoded at once
# Independent random number streams.
LATENT_STREAM, REFERENCE_STREAM, SELECTION_STREAM, CONDITION_STREAM = 21, 22, 23, 25
TRANSLATIONS_PER_SOURCE = 10  # Choi et al. 2020, appendix C
SOURCES_AT_ONCE = 4  # sources translated at once


class Source(ABC):
    """Yields the same images uint8 (H, W, C) in the same order on each iteration."""

    name: str
    count: int  # number of images; after the first iteration, without the unreadable ones
    can_grow = True  # whether a higher limit would give more images

    @abstractmethod
    def batches(self) -> Iterator[np.ndarray]:
        """Yield batches uint8 (N, H, W, C)."""


def default_real_count(samples: int) -> int:
    """Return the default limit for real images to compare with `samples` generated ones: the same number, but at least
    MIN_REAL, because with fewer the result would depend more on their selection than on the generator."""
    return max(samples, MIN_REAL)


class DatasetSource(Source):
    """Images of a data set, or of the domain with index `domain` only, fitted to the size and channels of `data`.

    If there are more than `max_images`, a random subset is used that depends only on the seed. An image that can't be
    read is reported once and skipped. Raises DataError if there are no images or, with `strict`, if an image has
    another size.
    """

    def __init__(
        self,
        dataset: Dataset,
        data: DataInfo,
        *,
        domain: int | None = None,
        max_images: int = DEFAULT_MAX_IMAGES,
        seed: int = 0,
        strict: bool = False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.dataset, self.data, self.strict, self.log = dataset.at_size(data.size), data, strict, log
        self.domain, self.name = domain, dataset.info.name
        found = np.arange(len(dataset)) if domain is None else np.flatnonzero(dataset.labels() == domain)
        if domain is not None:
            self.name = f"{dataset.info.name}/{dataset.info.domains[domain]}"
        if not len(found):
            raise DataError(f"{self.name}: contains no images, so nothing can be evaluated.")
        self.can_grow = len(found) > max_images
        if self.can_grow:
            found = np.sort(np.random.default_rng([seed, SELECTION_STREAM]).permutation(found)[:max_images])
        self.indices, self.count = found, len(found)
        self._unreadable: set[int] = set()

    def batches(self) -> Iterator[np.ndarray]:
        batch_size = min(BATCH, max(1, BATCH_BYTES // (self.data.size**2 * self.data.channels)))
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="ganzoo-images") as pool:
            pending = None
            for start in range(0, len(self.indices), batch_size):
                upcoming = [pool.submit(self._load, int(index)) for index in self.indices[start : start + batch_size]]
                if pending is not None:
                    yield from _stacked(pending)
                pending = upcoming
            yield from _stacked(pending or [])
        self.count = len(self.indices) - len(self._unreadable)

    def _load(self, index: int) -> np.ndarray | None:
        size, channels = self.data.size, self.data.channels
        try:
            loaded = self.dataset.load(index) if self.strict else load_resized(self.dataset, index, size, channels)
        except DataError as error:
            if index not in self._unreadable:
                self._unreadable.add(index)
                self.log(f"{error} Skipped.")
            return None
        image = loaded[0]
        if self.strict and image.shape[:2] != (size, size):
            height, width = image.shape[:2]
            raise DataError(
                f"{self.dataset.describe(index)}: {width} x {height} px, but all images must be {size} x {size} px. "
                f"Use --size to resize them."
            )
        return crop_and_resize(image, size, channels)


def _stacked(loading: Sequence[Any]) -> Iterator[np.ndarray]:
    images = [image for each in loading if (image := each.result()) is not None]
    if images:
        yield np.stack(images)


class GeneratorSource(Source):
    """Images generated from random latents, without truncation. A style-based generator gets different noise for each
    image. For a class-conditional generator, `frequencies` (classes,) are the probabilities of the classes. For a
    generator with attributes, `attributes` (K, A) are rows that are equally likely."""

    def __init__(
        self,
        generator: Any,
        count: int,
        seed: int,
        frequencies: np.ndarray | None = None,
        name: str = "random latents",
        attributes: np.ndarray | None = None,
    ) -> None:
        from ganzoo.interfaces.networks import StyleGenerator

        self.generator, self.count, self.seed = generator, count, seed
        self.frequencies, self.attributes, self.name = frequencies, attributes, name
        self._sampler = sampler.Sampler(generator)
        if isinstance(generator, StyleGenerator):
            from ganzoo.sampling.styles import StyleSampler

            self._sampler = StyleSampler(generator, noise="random")

    def draw_conditions(self, rng: np.random.Generator, count: int) -> np.ndarray | None:
        """Draw labels, one-hot (count, classes), or attributes (count, A); None if the generator has neither."""
        if self.attributes is not None:
            return self.attributes[rng.integers(len(self.attributes), size=count)]
        if self.frequencies is None:
            return None
        classes = len(self.frequencies)
        return one_hot(rng.choice(classes, count, p=self.frequencies), classes)

    def batches(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self.seed, LATENT_STREAM])
        drawn = self.draw_conditions(np.random.default_rng([self.seed, CONDITION_STREAM]), self.count)
        latents = (rng.standard_normal(self.generator.latent, "f4") for _ in range(self.count))
        codes = (z if drawn is None else np.concatenate([z, drawn[index]]) for index, z in enumerate(latents))
        images = self._sampler.stream((code, (self.seed, index)) for index, code in enumerate(codes))
        while batch := list(islice(images, sampler.chunk_size(self.generator))):
            yield np.stack(batch)


class TranslationSource(Source):
    """TRANSLATIONS_PER_SOURCE translations of each image of `sources` to `domain`. The styles come from random latents
    or, if `references` (images of `domain`) are given, from these in random order."""

    def __init__(
        self,
        translator: Translator,
        sources: DatasetSource,
        domain: int,
        references: DatasetSource | None = None,
        seed: int = 0,
    ) -> None:
        self.sampler, self.sources, self.domain = TranslationSampler(translator), sources, domain
        self.references, self.seed = references, seed
        self.mode = "latent" if references is None else "reference"
        self.name = f"{sources.name} to {sources.data.domains[domain]}, {self.mode}"

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.sources.count * TRANSLATIONS_PER_SOURCE

    def batches(self) -> Iterator[np.ndarray]:
        for group in self.groups():
            yield to_uint8(group.reshape(-1, *group.shape[2:]))

    def groups(self) -> Iterator[np.ndarray]:
        """Yield the translations of N sources at a time, floats (K, N, C, H, W), not limited to [-1, 1]. K is
        TRANSLATIONS_PER_SOURCE."""
        styles = self._styles()
        for batch in self.sources.batches():
            for start in range(0, len(batch), SOURCES_AT_ONCE):
                part = batch[start : start + SOURCES_AT_ONCE]
                part_styles = np.stack([next(styles) for _ in part], 1)
                yield np.stack([self.sampler.translate(part, each) for each in part_styles])

    def _styles(self) -> Iterator[np.ndarray]:
        """Yield the styles (TRANSLATIONS_PER_SOURCE, width) of one source after the other, endlessly."""
        if self.references is None:
            rng, latent = np.random.default_rng([self.seed, LATENT_STREAM, self.domain]), self.sampler.translator.latent
            while True:
                z = rng.standard_normal((BATCH, TRANSLATIONS_PER_SOURCE, latent), "f4").reshape(-1, latent)
                yield from self.sampler.styles_of_latents(z, self.domain).reshape(BATCH, TRANSLATIONS_PER_SOURCE, -1)
        batches = [self.sampler.styles_of_images(batch, self.domain) for batch in self.references.batches()]
        styles = np.concatenate(batches)
        rng = np.random.default_rng([self.seed, REFERENCE_STREAM, self.domain])
        order: list[int] = []
        while True:
            while len(order) < TRANSLATIONS_PER_SOURCE:
                order += [int(index) for index in rng.permutation(len(styles))]
            yield styles[order[:TRANSLATIONS_PER_SOURCE]]
            order = order[TRANSLATIONS_PER_SOURCE:]


class DirectTranslationSource(Source):
    """Translations of the images of `sources` in one direction, by a translator without styles."""

    def __init__(self, translator: DirectTranslator, sources: DatasetSource, direction: tuple[int, int]) -> None:
        self.translator, self.sources, self.direction = translator, sources, direction
        self.name = f"{sources.name} to {sources.data.domains[direction[1]]}"

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.sources.count

    def batches(self) -> Iterator[np.ndarray]:
        for batch in self.sources.batches():
            yield np.stack(list(translate_directly(self.translator, batch, self.direction)))
