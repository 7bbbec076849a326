"""The interface of a metric. Plugins register metrics through the hook `ganzoo_metrics`; those of ganzoo itself are in
`ganzoo.metrics.standard`.

This module is imported for every `--help`, so it imports neither numpy nor Jittor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ganzoo.metrics.evaluation import Evaluation

MOST_IMAGES = 100_000  # of either kind that can be asked for: their features take up to 0.8 GB


class Metric(ABC):
    """A number, or several, that says how good generated images are.

    `needs` names what `Evaluation` is to prepare, so that images are generated once for all metrics: 'features' (of
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
