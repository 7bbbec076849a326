"""The same characters in three type families, as domains for image translation; drawn with matplotlib's fonts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ganzoo import DataInfo, Dataset
from ganzoo_datasets.generated import GeneratedSource, log

if TYPE_CHECKING:
    import numpy as np

SEED = 0
SIZES = (8, 16, 32, 64)  # px
COPIES = 4  # of each character in each family, in different colours
VALIDATION_EVERY = 10  # every tenth character is for validation, in all families
DOMAINS = ("bold", "italic", "sans")


class Styles(GeneratedSource):
    """A small data set for trying out image-to-image models, without a download: aligned domains, 8 to 64 px."""

    name = "styles"
    summary = "coloured letters in three typefaces as domains, 8 to 64 px, RGB; generated in seconds"
    split = True
    expected = DataInfo("styles", 5_820, SIZES[-1], 3, DOMAINS)

    def generate(self) -> None:
        build(self.path)


class Drawing(NamedTuple):
    """A character in a family (an index into DOMAINS) and in one of COPIES colourings."""

    family: int
    code: int
    copy: int


class StylesDataset(Dataset):
    """Characters that are drawn when they are loaded; `validation` holds the code points for validation."""

    def __init__(self, codes: Sequence[int], seed: int, validation: Sequence[int] = ()) -> None:
        from ganzoo_datasets.glyphs import SIDE

        self._seed, self._validation = seed, validation
        families = range(len(DOMAINS))
        self._drawings = [Drawing(f, code, copy) for f in families for code in codes for copy in range(COPIES)]
        self.info = DataInfo("styles" if validation else "styles-val", len(self._drawings), SIDE, 3, DOMAINS)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import crop_and_resize
        from ganzoo_datasets.families import paint

        family, code, copy = self._drawings[index]
        return crop_and_resize(paint(DOMAINS[family], code, copy, self._seed), size), family

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.array([drawing.family for drawing in self._drawings])

    def validation(self) -> Dataset | None:
        return StylesDataset(self._validation, self._seed) if self._validation else None

    def describe(self, index: int) -> str:
        family, code, copy = self._drawings[index]
        return f"styles: character {code}, {DOMAINS[family]}, colouring {copy}, seed {self._seed}"


def build(path: Path, seed: int = SEED, codes: Sequence[int] | None = None, processes: int | None = None) -> None:
    """Draw the characters `codes` (None: all suitable ones). Every tenth goes into the validation LMDB beside `path`,
    the others into the LMDB at `path`.

    A seed gives the same bytes for any number of processes. DataError if a font is missing, a process dies or an LMDB
    can't be written.
    """
    from ganzoo import prepare

    if codes is None:
        from ganzoo_datasets.families import characters

        codes = characters()
    validation = codes[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]
    training = [code for code in codes if code not in validation]
    prepare(StylesDataset(training, seed, validation), path, SIZES, lossless=True, workers=processes, say=log)
