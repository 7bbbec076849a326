"""Sheets: grids of images with labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganzoo.data.alpha import over_white
from ganzoo.interfaces.dataset import DataInfo

MIN_CELL = 64  # px; smaller images are enlarged in a grid, to be recognisable
MARGIN = 2  # px between the cells of a grid
LABEL_SIZES = 10, 24  # px; limits for the font size of labels, which is a fifth of the cell height
LABEL_LENGTH = 40  # characters
MAX_SHEET_IMAGES = 1024
SHEET_BYTES = 2**28  # maximum total size of the images on a sheet


def max_sheet_images(data: DataInfo) -> int:
    """Return how many images of this size a sheet may hold."""
    return max(1, min(MAX_SHEET_IMAGES, SHEET_BYTES // (data.size**2 * data.channels)))


def grid_shape(count: int) -> tuple[int, int]:
    """Return the rows and columns of a grid of `count` images that is about twice as wide as high."""
    rows = max(1, int((count / 2) ** 0.5))
    return rows, -(-count // rows)


def grid(images: np.ndarray, rows: int, columns: int, keep_alpha: bool = False) -> np.ndarray:
    """Arrange images uint8 (N, H, W, C) row by row in one uint8 picture. RGBA images are drawn over white, unless
    `keep_alpha` is true. Cells without an image are white or, in an RGBA picture, transparent."""
    images = images if keep_alpha else over_white(images)
    count, height, width, channels = images.shape
    factor = max(1, MIN_CELL // max(height, width))
    cell_h, cell_w = height * factor + MARGIN, width * factor + MARGIN
    background = 0 if channels == 4 else 255
    sheet = np.full((rows * cell_h + MARGIN, columns * cell_w + MARGIN, channels), background, np.uint8)
    for index in range(min(count, rows * columns)):
        top, left = MARGIN + index // columns * cell_h, MARGIN + index % columns * cell_w
        enlarged = images[index].repeat(factor, 0).repeat(factor, 1)
        sheet[top : top + height * factor, left : left + width * factor] = enlarged
    return sheet


def add_labels(sheet: np.ndarray, labels: Sequence[str], reserve: Sequence[str] = ()) -> np.ndarray:
    """Add a label to the left of each of the len(labels) rows of a grid. Characters outside Latin-1 become '?'.

    The margin is wide enough for the labels in `reserve` too, so that sheets with changing labels have the same size.
    """
    if not any([*labels, *reserve]):
        return sheet
    row = (sheet.shape[0] - MARGIN) // len(labels)
    size = int(np.clip(row // 5, *LABEL_SIZES))
    texts = [_text(label, size) for label in labels]
    width = max(text.shape[1] for text in [*texts, *(_text(label, size) for label in set(reserve))]) + 4 * MARGIN
    margin = np.full((sheet.shape[0], width, sheet.shape[2]), 255, np.uint8)
    for index, text in enumerate(texts):
        fitting = text[: row - MARGIN]
        top = MARGIN + index * row + (row - MARGIN - len(fitting)) // 2
        margin[top : top + len(fitting), 3 * MARGIN : 3 * MARGIN + text.shape[1]] = fitting[:, :, None]
    return np.concatenate([margin, sheet], 1)


def _text(text: str, size: int) -> np.ndarray:
    """Render text in black on white, uint8 (H, W), cropped to its bounding box."""
    font = ImageFont.load_default(size)
    latin1 = text[:LABEL_LENGTH].encode("latin-1", "replace").decode("latin-1")
    canvas = Image.new("L", (2 * size * (len(latin1) + 1), 3 * size))
    ImageDraw.Draw(canvas).text((size, size), latin1, 255, font)
    box = canvas.getbbox()
    return 255 - np.asarray(canvas.crop(box)) if box else np.full((0, 0), 255, np.uint8)
