"""Sheets of translated images: sources in the top row, a row for each style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganzoo.errors import format_count
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling.input_images import InputImage
from ganzoo.sampling.sheets import add_labels, grid, max_sheet_images

MAX_COLUMNS = 32  # maximum number of sources on a sheet


@dataclass(frozen=True, eq=False)
class NamedStyle:
    """A style code (width,) to apply to every source. `name` is used in file names; sheets show `label` and, if given,
    `reference`, uint8 (H, W, C)."""

    name: str
    label: str
    code: np.ndarray
    reference: np.ndarray | None = None


def max_rows(data: DataInfo) -> int:
    """Return how many styles fit on a sheet with a single source and the reference of each style."""
    return max(1, max_sheet_images(data) // 2 - 1)


class TranslationSheet:
    """A sheet with the sources in the top row and a row for each style below, as many of both as fit."""

    def __init__(self, styles: Sequence[NamedStyle], data: DataInfo) -> None:
        self._styles = len(styles)
        self._rows: dict[NamedStyle, list[np.ndarray]] = {style: [] for style in styles[: max_rows(data)]}
        self._references = styles[0].reference is not None
        capacity = max_sheet_images(data) // (len(self._rows) + 1)
        self._columns = min(MAX_COLUMNS, max(1, capacity - self._references))
        self._sources: list[InputImage] = []

    def add(self, source: InputImage, style: NamedStyle, image: np.ndarray) -> None:
        """Add a translated image if there is room for it. All images of a source must be added in succession."""
        if source not in self._sources[-1:]:
            if len(self._sources) == self._columns:
                return
            self._sources.append(source)
        if style in self._rows:
            self._rows[style].append(image)

    def picture(self) -> np.ndarray:
        """Return the sheet, uint8 (H, W, C)."""
        top = [source.pixels for source in self._sources]
        if self._references:
            top = [np.full_like(top[0], 255), *top]
        below = [
            image
            for style, generated in self._rows.items()
            for image in (generated if style.reference is None else [style.reference, *generated])
        ]
        sheet = grid(np.stack([*top, *below]), len(self._rows) + 1, len(top))
        return add_labels(sheet, ["", *(style.label for style in self._rows)])

    def extent(self, sources: int) -> str:
        """Return ' of the first N sources and M styles', naming only what did not fit completely; '' if all fit."""
        shown = [format_count(len(self._sources), "source")] if len(self._sources) < sources else []
        shown += [format_count(len(self._rows), "style")] if len(self._rows) < self._styles else []
        return f" of the first {' and '.join(shown)}" if shown else ""
