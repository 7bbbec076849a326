"""The input of a metric: generated and real images, as pixels and as features."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ganzoo.errors import DataError
from ganzoo.metrics import reals
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.perceptual import Perceptual
from ganzoo.metrics.reals import Features
from ganzoo.metrics.sources import Images, Source, Translations
from ganzoo.sampling import sampler

T = TypeVar("T")
WATCHED, LONG = 2.0, 10.0  # seconds: delay before an estimate, and shortest estimate that is reported


class Evaluation:
    """Generated images (`subject`) and real ones (`real`). Features and spread are computed once for all metrics, in a
    single pass over the generated images.

    `features` and `perceptual` are None if no metric needs them. `seed` is for the metrics' random numbers.
    """

    def __init__(
        self,
        subject: Source,
        real: Images,
        features: FeatureExtractor | None = None,
        perceptual: Perceptual | None = None,
        seed: int = 0,
        spread: bool = False,
        on_images: Callable[[np.ndarray], None] = lambda batch: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """With `spread`, measure the property `spread` while images are generated. `on_images` is called with every
        generated batch, `say` with an estimate if something takes long."""
        self.subject, self.real, self.seed = subject, real, seed
        self.extractor, self._perceptual, self._spread_wanted = features, perceptual, spread
        self._on_images, self._say = on_images, say
        self._looked_at_real = False

    @property
    def real_count(self) -> int:
        """Number of real images used so far; 0 if no metric used them."""
        return self.real.count if self._looked_at_real else 0

    @property
    def perceptual(self) -> Perceptual:
        """The network for perceptual distances. Requires 'perceptual' in `Metric.needs`."""
        assert self._perceptual is not None, "the metric doesn't list 'perceptual' among its needs"
        return self._perceptual

    def generated_images(self) -> Iterator[np.ndarray]:
        """Yield batches of generated images, uint8 (N, H, W, C), generated anew on each call."""
        yield from self.counted(self.subject.batches(), "generating", self.subject.count)

    def real_images(self) -> Iterator[np.ndarray]:
        """Yield batches of real images, uint8 (N, H, W, C)."""
        self._looked_at_real = True
        yield from self.counted(self.real.batches(), "real images", self.real.count)

    @property
    def generated(self) -> Features:
        """Features of the generated images."""
        return self._pass[0]

    @cached_property
    def real_features(self) -> Features:
        """Features of the real images, cached on disk across evaluations."""

        def compute() -> np.ndarray:
            return _rows(self._extractor.stream(self.real_images()), self.real.name)

        found = reals.features(self.real, self._extractor, compute)
        self._looked_at_real, self.real.count = True, len(found.rows)
        return found

    @property
    def spread(self) -> np.ndarray:
        """The mean perceptual distance between the translations of each source, (N,)."""
        return self._pass[1]

    def generate(self) -> None:
        """Generate all images now, whether or not a metric needs them."""
        _ = self._pass

    @cached_property
    def _pass(self) -> tuple[Features, np.ndarray]:
        spreads: list[np.ndarray] = []

        def images() -> Iterator[np.ndarray]:
            if not self._spread_wanted:
                yield from self.subject.batches()
                return
            assert isinstance(self.subject, Translations)
            for group in self.subject.groups():
                spreads.append(self.perceptual.spread(group))
                yield sampler.to_uint8(group.reshape(-1, *group.shape[2:]))

        def seen() -> Iterator[np.ndarray]:
            for batch in self.counted(images(), "generating", self.subject.count):
                self._on_images(batch)
                yield batch

        if self.extractor is not None:
            rows = _rows(self.extractor.stream(seen()), self.subject.name)
        else:
            rows = np.zeros((sum(len(batch) for batch in seen()), 0), np.float32)
        return Features(rows), np.concatenate(spreads) if spreads else np.zeros(0)

    @property
    def _extractor(self) -> FeatureExtractor:
        assert self.extractor is not None, "the metric doesn't list 'features' among its needs"
        return self.extractor

    def counted(self, batches: Iterable[np.ndarray], what: str, total: int) -> Iterator[np.ndarray]:
        """Yield the batches under a bar that counts images and appears after two seconds. Report an estimate if they
        will take long."""
        estimate, done = Estimate(total), 0
        with tqdm(total=total, desc=what, unit="img", leave=False, disable=None, delay=2) as bar:
            for batch in batches:
                yield batch
                done += len(batch)
                bar.update(len(batch))
                if (seconds := estimate.after(done)) > LONG:
                    self._say(f"{what}: {total:,} take about {in_words(seconds)}")

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Iterate over the items with a progress bar."""
        yield from tqdm(items, desc=what, leave=False, disable=None, delay=2)


class Estimate:
    """A single estimate of the remaining time, made WATCHED seconds after the first call of `after`. Earlier time is
    excluded, because kernels are compiled then."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self._begun: tuple[int, float] | None = None
        self._done = False

    def after(self, count: int) -> float:
        """Return the seconds left after `count` items on the first call that can estimate them, and 0 on all others."""
        if self._begun is None:
            self._begun = count, self.clock()
        first, began = self._begun
        passed = self.clock() - began
        if self._done or passed < WATCHED or count == first:
            return 0.0
        self._done = True
        return (self.total - count) * passed / (count - first)


def in_words(seconds: float) -> str:
    """Format a duration: '40 s', '6 min' or '1.5 h'."""
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rows(parts: Iterable[np.ndarray], name: str) -> np.ndarray:
    found = list(parts)
    if not found:
        raise DataError(f"{name}: none of its images can be read.")
    return np.concatenate(found)
