"""Sample sheets in the run's folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ganzoo.errors import PluginError
from ganzoo.interfaces.dataset import Dataset, LoaderConfig
from ganzoo.sampling import image_files
from ganzoo.sampling.sheets import grid
from ganzoo.signals import Stop
from ganzoo.training.feed import Feed
from ganzoo.training.reporting.logger import RunLogger
from ganzoo.training.reporting.model_sheets import model_sheets
from ganzoo.training.reporting.sheets import TranslationInputs, sample_sheets, sheet_shape
from ganzoo.training.state import TrainState


class SampleWriter:
    """Writer of sheets of samples or translations, of the model's own sheets, and of real images for comparison."""

    def __init__(
        self, folder: Path, dataset: Dataset, inputs: TranslationInputs | None, logger: RunLogger, stop: Stop
    ) -> None:
        """`dataset` has the real images for the model's own sheets. `inputs` are the images to translate, for a
        translating model. Once `stop()` is true, nothing is written."""
        self.folder, self.dataset, self.inputs, self.logger, self._stop = folder, dataset, inputs, logger, stop
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
                self._save(f"samples-{state.progress.images:09d}{name}.png", sheet, written)
        if state.model.draws_sheets() and not self._stop():
            with self.logger.nonfatal(f"sheets of {state.model.name}"):
                for name, sheet in model_sheets(state, self.dataset):
                    self._save(f"samples-{state.progress.images:09d}-{name}.png", sheet, written)
        return written

    def _save(self, name: str, sheet: np.ndarray, written: list[Path]) -> None:
        path = self.folder / name
        if path in written:
            raise PluginError(f"{name} is the name of a standard sheet; choose another one.")
        image_files.save(path, sheet)
        written.append(path)
