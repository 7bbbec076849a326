"""What a model gets to draw sheets of its own during training.

This module is imported for every `--help`, so it imports neither numpy nor Jittor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.progress import Progress


class SheetInputs(Protocol):
    """Input of `Model.sheets`. The images and seeds are the same at every tick, so that ticks can be compared.

    `networks` are copies of all networks by name, in inference mode: the EMA of those that have one. `pixels` holds a
    few real images per domain, uint8 (N, H, W, C), in the order of `DataInfo.domains`; a single array if there are no
    domains. With `LoaderConfig.paired`, the n-th images of all domains belong together. `domains` holds the same images
    as Vars (N, C, H, W) in [-1, 1]. `seeds` are those of the standard sheet of samples. `data` describes the data, with
    the size of the images above; `options` are the model's.
    """

    networks: Mapping[str, Any]
    domains: tuple[Any, ...]
    pixels: tuple[np.ndarray, ...]
    seeds: range
    options: Any
    data: DataInfo
    progress: Progress

    def latents(self, length: int) -> Any:
        """Return a standard normal latent for each of the `seeds`, a Var (len(seeds), length)."""

    def attributes(self) -> Any:
        """Return attributes for each of the `seeds`, a Var (len(seeds), A), if the generator has attributes."""

    def sheet(self, *rows: Any) -> np.ndarray:
        """Arrange images in one picture, uint8 (H, W, C). Each row is a Var (N, C, H, W) in [-1, 1] or an array uint8
        (N, H, W, C)."""
