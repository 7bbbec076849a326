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

MAX_IMAGES = 100_000  # limit for generated and for real images; features of that many take up to 0.8 GB


class Features(Protocol):
    """Features of a set of images: `rows`, float32 (N, D), and `moments`, their mean (D,) and covariance (D, D),
    float64."""

    @property
    def rows(self) -> np.ndarray: ...
    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]: ...


class Evaluation(Protocol):
    """Input of a metric: the sources of the generated and of the real images, each with `name` and `count`, and a
    `seed` for the metric's random numbers. RGBA images are drawn over white, so C is 1 or 3."""

    generated: Any
    real: Any
    seed: int

    def generated_images(self) -> Iterator[np.ndarray]:
        """Yield batches of generated images, uint8 (N, H, W, C), generated anew on each call."""

    def real_images(self) -> Iterator[np.ndarray]:
        """Yield batches of real images, uint8 (N, H, W, C)."""

    @property
    def generated_features(self) -> Features:
        """Features of the generated images. Requires 'features' in `Metric.needs`."""

    @property
    def real_features(self) -> Features:
        """Features of the real images. Requires 'features' in `Metric.needs`."""

    @property
    def diversity(self) -> np.ndarray:
        """The mean perceptual distance between the translations of each input image, (N,). Requires 'diversity' in
        `Metric.needs`."""

    @property
    def perceptual(self) -> Any:
        """The network for perceptual distances. Requires 'perceptual' in `Metric.needs`."""

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Iterate over the items with a progress bar."""


class Metric(ABC):
    """One or more numbers that measure the quality of generated images.

    `needs` names what the evaluation has to prepare, so that images are generated once for all metrics: 'features' (of
    generated and real images), 'diversity' (the perceptual distances between translations of one image), 'perceptual'
    (the network for such distances). `outputs` names the values that `compute` returns, by default a single value with
    the metric's own name; `ganzoo train --evaluate-every` selects the best checkpoint by the first value.
    `higher_is_better` lists the outputs of which a higher value is better.
    """

    name: str
    summary: str
    needs: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[tuple[str, ...]] = ()

    def output_names(self) -> tuple[str, ...]:
        """Return the names of the values that `compute` returns."""
        return self.outputs or (self.name,)

    def check(self, evaluation: Evaluation) -> None:  # noqa: B027 (most metrics suit everything)
        """Raise OptionError if this metric does not apply to these images. Called before anything is computed."""

    @abstractmethod
    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the values by name. The same evaluation, including its seed, must give the same values."""
