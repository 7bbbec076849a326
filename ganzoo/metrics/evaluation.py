"""What a metric is given: images that were generated and real ones, as pixels and as features."""

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
WATCHED, LONG = 2.0, 10.0  # seconds from which an estimate is made, and from which it is told


class Evaluation:
    """Generated images (`subject`) beside real ones (`real`). What several metrics need is computed once, and the
    images are generated once for all of them.

    `features` and `perceptual` are None where no metric needs them. `seed` is for whatever a metric draws.
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
        """`spread`: measure it while images are generated. `on_images` gets every batch of them. `say` is told how long
        it will take, if it takes long."""
        self.subject, self.real, self.seed = subject, real, seed
        self.extractor, self._perceptual, self._spread_wanted = features, perceptual, spread
        self._on_images, self._say = on_images, say
        self._looked_at_real = False

    @property
    def real_count(self) -> int:
        """How many real images were looked at."""
        return self.real.count if self._looked_at_real else 0

    @property
    def perceptual(self) -> Perceptual:
        """The network for perceptual distances; a metric that uses it says so in `needs`."""
        assert self._perceptual is not None, "the metric doesn't list 'perceptual' among its needs"
        return self._perceptual

    def generated_images(self) -> Iterator[np.ndarray]:
        """Batches uint8 (N, H, W, C), made anew."""
        yield from self.counted(self.subject.batches(), "generating", self.subject.count)

    def real_images(self) -> Iterator[np.ndarray]:
        """Batches uint8 (N, H, W, C)."""
        self._looked_at_real = True
        yield from self.counted(self.real.batches(), "real images", self.real.count)

    @property
    def generated(self) -> Features:
        """Features of the generated images."""
        return self._pass[0]

    @cached_property
    def real_features(self) -> Features:
        """Features of the real images, kept between evaluations."""

        def compute() -> np.ndarray:
            return _rows(self._extractor.stream(self.real_images()), self.real.name)

        found = reals.features(self.real, self._extractor, compute)
        self._looked_at_real, self.real.count = True, len(found.rows)
        return found

    @property
    def spread(self) -> np.ndarray:
        """The mean perceptual distance among the translations of each source, (N,)."""
        return self._pass[1]

    def generate(self) -> None:
        """Generate all images now, whoever needs them."""
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
        """The same batches, under a bar that counts images after two seconds. What will take long is told first."""
        estimate, done = Estimate(total), 0
        with tqdm(total=total, desc=what, unit="img", leave=False, disable=None, delay=2) as bar:
            for batch in batches:
                yield batch
                done += len(batch)
                bar.update(len(batch))
                if (seconds := estimate.after(done)) > LONG:
                    self._say(f"{what}: {total:,} take about {in_words(seconds)}")

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The same items, under a bar."""
        yield from tqdm(items, desc=what, leave=False, disable=None, delay=2)


class Estimate:
    """How long something takes, found once, when it has gone on for a while; the start is left out, in which kernels
    are compiled."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self._begun: tuple[int, float] | None = None
        self._done = False

    def after(self, count: int) -> float:
        """The seconds that are left after `count`, the one time that they are known; 0 at all others."""
        if self._begun is None:
            self._begun = count, self.clock()
        first, began = self._begun
        passed = self.clock() - began
        if self._done or passed < WATCHED or count == first:
            return 0.0
        self._done = True
        return (self.total - count) * passed / (count - first)


def in_words(seconds: float) -> str:
    """'40 s', '6 min' or '1.5 h'."""
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rows(parts: Iterable[np.ndarray], name: str) -> np.ndarray:
    found = list(parts)
    if not found:
        raise DataError(f"{name}: none of its images can be read.")
    return np.concatenate(found)
