from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.sampling import sheets

IMAGES = np.random.default_rng(0).integers(30, 230, (4, 8, 8, 3), np.uint8)


def numbered_images(count: int, size: int = 5, channels: int = 3) -> np.ndarray:
    return np.stack([np.full((size, size, channels), 10 * index + 5, np.uint8) for index in range(count)])


@given(st.integers(1, 200))
def test_a_grid_has_room_for_all_images_and_no_empty_row(count):
    rows, columns = sheets.grid_shape(count)
    assert rows * columns >= count > (rows - 1) * columns


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [5, 64, 100])
def test_grid_puts_images_row_by_row_on_white(size, channels):
    sheet = sheets.grid(numbered_images(5, size, channels), 2, 3)
    cell = sheet.shape[0] // 2
    centres = [sheet[cell // 2 + cell * (i // 3), cell // 2 + cell * (i % 3), 0] for i in range(6)]
    assert centres == [5, 15, 25, 35, 45, 255]
    assert sheet.shape[2] == channels
    assert min(sheet.shape[:2]) >= 64


def test_labels_are_beside_their_rows():
    grid = sheets.grid(IMAGES[:4], 2, 2)
    sheet = sheets.add_labels(grid, ["", "a fox, \u72d0"])
    margin = sheet[:, : -grid.shape[1]]
    assert np.array_equal(sheet[:, -grid.shape[1] :], grid)
    assert (margin[:68] == 255).all()
    assert (margin[68:] < 100).any()
    assert sheets.add_labels(grid, ["", ""]) is grid


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@settings(max_examples=50)
def test_any_text_can_be_a_label(labels):
    grid = sheets.grid(IMAGES[: len(labels)], len(labels), 1)
    assert sheets.add_labels(grid, labels).shape[0] == grid.shape[0]
