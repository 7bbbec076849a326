from __future__ import annotations

import numpy as np
import pytest

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.sampling.dataset_sheet import COLUMNS, augmented_sheet, dataset_sheet
from ganzoo.sampling.sheets import MARGIN

SIDE = 64
CELL = SIDE + MARGIN


class Levels(Dataset):
    """Images of one grey level each, which is their index; `bad` ones are unreadable."""

    def __init__(self, count: int, domains: tuple[str, ...] = (), bad: range = range(0)) -> None:
        self.info, self.bad = DataInfo("levels", count, SIDE, 1, domains), bad

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError("unreadable")
        return np.full((size or SIDE, size or SIDE, 1), index, np.uint8), index % max(1, len(self.info.domains))

    def labels(self) -> np.ndarray:
        return np.arange(self.info.count) % max(1, len(self.info.domains))


def levels(sheet: np.ndarray) -> np.ndarray:
    """Return the grey levels of the cells, without the labels to their left."""
    cells = sheet[:, -COLUMNS * CELL - MARGIN :, 0]
    return cells[MARGIN + SIDE // 2 :: CELL, MARGIN + SIDE // 2 :: CELL]


def test_each_domain_has_a_row_of_images_from_all_over_it():
    found = levels(dataset_sheet(Levels(160, ("a", "b", "c"))))
    assert found.shape == (3, COLUMNS)
    assert (found % 3 == [[0], [1], [2]]).all()
    assert (np.diff(found) > 10).all()


def test_a_set_without_domains_fills_four_rows():
    found = levels(dataset_sheet(Levels(128)))
    assert found.ravel().tolist() == list(range(0, 128, 4))


def test_unreadable_images_are_left_out():
    assert levels(dataset_sheet(Levels(128, bad=range(2)))).ravel()[0] == 2
    assert levels(dataset_sheet(Levels(128, bad=range(4)))).ravel()[-1] == 124
    with pytest.raises(DataError, match="none of its images can be read"):
        augmented_sheet(Levels(9, bad=range(9)), lambda images: images)


def test_a_row_of_an_augmented_sheet_begins_with_the_image_itself():
    found = levels(augmented_sheet(Levels(120, ("a", "b")), lambda images: images + 100))
    assert (found[:, 1:] == found[:, :1] + 100).all()
    assert (found[:, 0] % 2).tolist() == [0, 0, 0, 1, 1, 1]
