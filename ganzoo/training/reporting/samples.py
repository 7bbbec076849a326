"""Sample sheets in the run's folder."""

from __future__ import annotations

import math
from pathlib import Path

from ganzoo.interfaces.dataset import LoaderConfig
from ganzoo.sampling import image_files
from ganzoo.sampling.sheets import grid
from ganzoo.signals import Stop
from ganzoo.training.feed import Feed
from ganzoo.training.reporting.logger import RunLogger
from ganzoo.training.reporting.sheets import TranslationInputs, sample_sheets, sheet_shape
from ganzoo.training.state import TrainState


class SampleWriter:
    """Writer of sheets of samples or translations, and of real images for comparison."""

    def __init__(self, folder: Path, inputs: TranslationInputs | None, logger: RunLogger, stop: Stop) -> None:
        """`inputs` are the images to translate, for a translating model. Once `stop()` is true, nothing is written."""
        self.folder, self.inputs, self.logger, self._stop = folder, inputs, logger, stop
        self._written_at: int | None = None

    def write_reals(self, feed: Feed, size: int) -> list[Path]:
        """Write a sheet of real images of `size` px, and return its path, if that was possible."""
        count = min(math.prod(sheet_shape(size)), len(feed.dataset))
        reals = next(feed.loader(size, count, LoaderConfig()).batches()).images
        path = self.folder / "reals.png"
        with self.logger.nonfatal("reals.png"):
            image_files.save(path, grid(reals, *sheet_shape(size)))
            return [path]
        return []

    def write(self, state: TrainState) -> list[Path]:
        """Write the sheets of the current networks, unless they have been written already. Return their paths."""
        written: list[Path] = []
        if self._written_at == state.progress.images:
            return written
        self._written_at = state.progress.images
        with self.logger.nonfatal("samples"):
            for name, sheet in sample_sheets(state, self.inputs, state.data.domains):
                if self._stop():
                    break
                path = self.folder / f"samples-{state.progress.images:09d}{name}.png"
                image_files.save(path, sheet)
                written.append(path)
        return written
