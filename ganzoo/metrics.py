"""The interface of a metric. Plugins register metrics through the hook `ganzoo_metrics`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np


class Metric(ABC):
    """A number (or several) that compares generated images with real ones."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def compute(self, generated: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> dict[str, float]:
        """Named numbers from two streams of uint8 batches of shape (N, H, W, C)."""
