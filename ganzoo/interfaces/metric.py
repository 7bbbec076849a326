"""The interface of a metric. Plugins register metrics through the hook `ganzoo_metrics`.

This module is imported for every `--help`, so it imports neither numpy nor Jittor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

MOST_IMAGES = 100_000  # of either kind that can be asked for: their features take up to 0.8 GB


class Features(Protocol):
    """Features of a set of images: float32 (N, D), and their mean (D,) and covariance (D, D), float64."""

    @property
    def rows(self) -> np.ndarray: ...
    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]: ...


class Evaluation(Protocol):
    """What a metric is given: generated images (`subject`) and real ones (`real`), each with `name` and `count`,
    and a `seed` for what the metric draws."""

    subject: Any
    real: Any
    seed: int

    def generated_images(self) -> Iterator[np.ndarray]:
        """Batches uint8 (N, H, W, C), made anew."""

    def real_images(self) -> Iterator[np.ndarray]:
        """Batches uint8 (N, H, W, C)."""

    @property
    def generated(self) -> Features:
        """Features of the generated images. Needs 'features'."""

    @property
    def real_features(self) -> Features:
        """Features of the real images. Needs 'features'."""

    @property
    def spread(self) -> np.ndarray:
        """The mean perceptual distance among the translations of each source, (N,). Needs 'spread'."""

    @property
    def perceptual(self) -> Any:
        """The network for perceptual distances. Needs 'perceptual'."""

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The same items, under a progress bar."""


class Metric(ABC):
    """A number, or several, that says how good generated images are.

    `needs` names what the evaluation is to prepare, so that images are generated once for all metrics: 'features' (of
    generated and of real images), 'spread' (the perceptual distances among translations of one image), 'perceptual'
    (the network for such distances). `numbers` are the names of what `compute` gives, by default the metric's own; the
    first of them is what `ganzoo train --evaluate-every` keeps the best checkpoint by. `higher` are those that are
    better when they are higher.
    """

    name: str
    summary: str
    needs: ClassVar[tuple[str, ...]] = ()
    numbers: ClassVar[tuple[str, ...]] = ()
    higher: ClassVar[tuple[str, ...]] = ()

    def names(self) -> tuple[str, ...]:
        """The names of its numbers."""
        return self.numbers or (self.name,)

    def check(self, evaluation: Evaluation) -> None:  # noqa: B027 (most metrics suit everything)
        """OptionError if this metric makes no sense for what is evaluated. Asked before anything is computed."""

    @abstractmethod
    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        """Numbers by name. The same for the same evaluation, seed included."""
