"""The input of a metric: generated and real images, as pixels and as features."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from ganzoo.backend.pixels import to_uint8
from ganzoo.data.alpha import over_white
from ganzoo.errors import DataError
from ganzoo.metrics import feature_cache
from ganzoo.metrics.feature_cache import Features
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.perceptual import Perceptual
from ganzoo.metrics.sources import DatasetSource, Source, TranslationSource
from ganzoo.progress_bars import progress_bar

T = TypeVar("T")
ESTIMATE_AFTER = 2.0  # seconds: delay before an estimate is made
REPORT_ABOVE = 10.0  # seconds: shortest estimate that is reported


class Evaluation:
    """Generated and real images, RGBA over white. Features and diversity are computed once for all metrics, in a single
    pass over the generated images.

    `features` and `perceptual` are None if no metric needs them. `seed` is for the metrics' random numbers.
    """

    def __init__(
        self,
        generated: Source,
        real: DatasetSource,
        features: FeatureExtractor | None = None,
        perceptual: Perceptual | None = None,
        seed: int = 0,
        diversity: bool = False,
        on_images: Callable[[np.ndarray], None] = lambda batch: None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """If `diversity` is true, the property `diversity` is computed while images are generated. `on_images` receives
        every generated batch, also RGBA, and `log` an estimate of the remaining time if that is long."""
        self.generated, self.real, self.seed = generated, real, seed
        self.extractor, self._perceptual, self._with_diversity = features, perceptual, diversity
        self._on_images, self._log = on_images, log
        self._used_real = False

    @property
    def real_count(self) -> int:
        """Number of real images used so far; 0 if no metric used them."""
        return self.real.count if self._used_real else 0

    @property
    def perceptual(self) -> Perceptual:
        """The network for perceptual distances. Requires 'perceptual' in `Metric.needs`."""
        assert self._perceptual is not None, "the metric doesn't list 'perceptual' among its needs"
        return self._perceptual

    def generated_images(self) -> Iterator[np.ndarray]:
        """Yield batches of generated images, uint8 (N, H, W, C), generated anew on each call."""
        yield from map(over_white, self._with_progress(self.generated.batches(), "generating", self.generated.count))

    def real_images(self) -> Iterator[np.ndarray]:
        """Yield batches of real images, uint8 (N, H, W, C)."""
        self._used_real = True
        yield from map(over_white, self._with_progress(self.real.batches(), "real images", self.real.count))

    @property
    def generated_features(self) -> Features:
        """Features of the generated images."""
        return self._single_pass[0]

    @cached_property
    def real_features(self) -> Features:
        """Features of the real images, cached on disk across evaluations."""

        def compute() -> np.ndarray:
            return _rows(self._extractor.stream(self.real_images()), self.real.name)

        found = feature_cache.features(self.real, self._extractor, compute)
        self._used_real, self.real.count = True, len(found.rows)
        return found

    @property
    def diversity(self) -> np.ndarray:
        """The mean perceptual distance between the translations of each source, (N,)."""
        return self._single_pass[1]

    def generate(self) -> None:
        """Generate all images now, whether or not a metric needs them."""
        _ = self._single_pass

    @cached_property
    def _single_pass(self) -> tuple[Features, np.ndarray]:
        distances: list[np.ndarray] = []

        def images() -> Iterator[np.ndarray]:
            if not self._with_diversity:
                yield from self.generated.batches()
                return
            assert isinstance(self.generated, TranslationSource)
            for group in self.generated.groups():
                distances.append(self.perceptual.pairwise_distance(group))
                yield to_uint8(group.reshape(-1, *group.shape[2:]))

        def recorded() -> Iterator[np.ndarray]:
            for batch in self._with_progress(images(), "generating", self.generated.count):
                self._on_images(batch)
                yield over_white(batch)

        if self.extractor is not None:
            rows = _rows(self.extractor.stream(recorded()), self.generated.name)
        else:
            rows = np.zeros((sum(len(batch) for batch in recorded()), 0), np.float32)
        return Features(rows), np.concatenate(distances) if distances else np.zeros(0)

    @property
    def _extractor(self) -> FeatureExtractor:
        assert self.extractor is not None, "the metric doesn't list 'features' among its needs"
        return self.extractor

    def _with_progress(self, batches: Iterable[np.ndarray], what: str, total: int) -> Iterator[np.ndarray]:
        """Yield the batches under a bar that counts images and appears after two seconds. Log an estimate if they
        will take long."""
        estimate, done = Estimate(total), 0
        with progress_bar(total=total, desc=what, unit="img", leave=False, disable=None, delay=2) as bar:
            for batch in batches:
                yield batch
                done += len(batch)
                bar.update(len(batch))
                if (seconds := estimate.after(done)) > REPORT_ABOVE:
                    self._log(f"{what}: {total:,} images take about {format_duration(seconds)}")

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Iterate over the items with a progress bar."""
        yield from progress_bar(items, desc=what, leave=False, disable=None, delay=2)


class Estimate:
    """A single estimate of the remaining time, made ESTIMATE_AFTER seconds after the first call of `after`. Time
    before that call is excluded, because kernels are compiled then."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self._start: tuple[int, float] | None = None
        self._done = False

    def after(self, count: int) -> float:
        """Return the remaining time in seconds after `count` items, on the first call that can estimate it; else 0."""
        if self._start is None:
            self._start = count, self.clock()
        first_count, start_time = self._start
        elapsed = self.clock() - start_time
        if self._done or elapsed < ESTIMATE_AFTER or count == first_count:
            return 0.0
        self._done = True
        return (self.total - count) * elapsed / (count - first_count)


def format_duration(seconds: float) -> str:
    """Format a duration: '40 s', '6 min' or '1.5 h'."""
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rows(parts: Iterable[np.ndarray], name: str) -> np.ndarray:
    found = list(parts)
    if not found:
        raise DataError(f"{name}: none of its images can be read.")
    return np.concatenate(found)
