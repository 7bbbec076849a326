"""Coloured Unicode glyphs, drawn locally with matplotlib's fonts: no download and no licence to accept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import DataInfo, Dataset
from ganzoo_datasets.generated import GeneratedSource, log

if TYPE_CHECKING:
    import numpy as np

    from ganzoo_datasets.glyphs import Glyph

SEED = 0
SIZES = (8, 16, 32, 64, 128)  # px


class Symbols(GeneratedSource):
    """A stand-in for the "color symbol 7k" set of the StyleGAN ports: one image per glyph, 8 to 128 px, no domains."""

    name = "symbols"
    summary = "about 10,700 coloured Unicode glyphs, 8 to 128 px, RGB; generated in half a minute"

    expected = DataInfo("symbols", 10_700, SIZES[-1], 3)

    def generate(self) -> None:
        build(self.path)


class SymbolsDataset(Dataset):
    """Glyphs that are drawn when they are loaded."""

    def __init__(self, glyphs: Sequence[Glyph], seed: int) -> None:
        from ganzoo_datasets.glyphs import SIDE

        self.glyphs, self.seed = glyphs, seed
        self.info = DataInfo("symbols", len(glyphs), SIDE, 3)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import crop_and_resize
        from ganzoo_datasets.glyphs import paint

        return crop_and_resize(paint(self.glyphs[index], self.seed), size), 0

    def describe(self, index: int) -> str:
        font, code = self.glyphs[index]
        return f"symbols: character {code} of font {font}, seed {self.seed}"


def build(path: Path, seed: int = SEED, glyphs: Sequence[Glyph] | None = None, processes: int | None = None) -> None:
    """Draw `glyphs` (None: all distinct ones) into an LMDB at `path`, with this number of `processes` (None: one per
    core).

    A seed gives the same bytes for any number of processes. DataError if a font is missing, a process dies or the LMDB
    can't be written.
    """
    from ganzoo import prepare

    glyphs = _distinct(processes) if glyphs is None else glyphs
    prepare(SymbolsDataset(glyphs, seed), path, SIZES, lossless=True, workers=processes, say=log)


def _distinct(processes: int | None) -> list[Glyph]:
    from ganzoo import parallel_map
    from ganzoo_datasets.glyphs import candidates, chunks, distinct_glyphs, signatures

    wanted = chunks(list(candidates()))
    with parallel_map(signatures, processes) as each:
        return distinct_glyphs(_progress(each(wanted), len(wanted), "symbols: comparing glyphs"))


def _progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, total=total, desc=what, leave=False, disable=None, delay=1)
