"""The images that a translating model starts from: uploads, which stay in memory, and those of the data set."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data.fitting import padded_area
from ganzoo.data.images import decode_opened, load_resized, peek, to_array
from ganzoo.errors import DataError, OptionError

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset

MAX_BYTES = 32 << 20  # of an upload
MAX_PIXELS = 64_000_000  # of an upload
MAX_UPLOADS = 200  # kept in memory, at the size of the model's images
MAX_OFFERED = 24  # images of the data set
DATA_PREFIX = "data:"


class TooLargeError(DataError):
    """An upload has too many bytes or pixels."""


@dataclass(frozen=True, eq=False)
class FittedImage:
    """An image as the model expects it, uint8 (size, size, C), and the part of it that is not padding (left, top,
    right, bottom in px)."""

    pixels: np.ndarray
    area: tuple[int, int, int, int]
    file: str  # name of the user's file

    def without_padding(self, image: np.ndarray) -> np.ndarray:
        """Return the part of a translation of this image, uint8 (H, W, C), that is not padding."""
        left, top, right, bottom = self.area
        return image[top:bottom, left:right]


class Images:
    """Uploads by the hash of their bytes, of which the latest MAX_UPLOADS are kept, and some images of a data set."""

    def __init__(self, data: DataInfo, dataset: Dataset | None) -> None:
        self.data, self._dataset = data, None if dataset is None else dataset.at_size(data.size)
        self._uploads: OrderedDict[str, FittedImage] = OrderedDict()
        self._lock = threading.Lock()
        self.offered = {} if self._dataset is None else _first_of_each_domain(self._dataset)

    def add(self, content: bytes, file: str) -> str:
        """Decode an upload, and return its name. TooLargeError, or DataError if it is not an image."""
        if len(content) > MAX_BYTES:
            raise TooLargeError(f"the image has more than {MAX_BYTES >> 20} MB.")
        opened = peek(content, "the upload")
        if opened.width * opened.height > MAX_PIXELS:
            raise TooLargeError(
                f"the image has {opened.width} x {opened.height} px; the limit is {MAX_PIXELS:,} pixels."
            )
        image, size, fit = decode_opened(opened, content, "the upload"), self.data.size, self.data.fit
        try:
            pixels = to_array(image, self.data.channels, size, fit)
        except Exception as error:  # Pillow can't convert every colour mode
            raise DataError(f"the colours of the image can't be read ({error}).") from error
        area = padded_area(*image.size, size) if fit == "pad" else (0, 0, size, size)
        name = hashlib.sha256(content).hexdigest()[:32]
        with self._lock:
            self._uploads[name] = FittedImage(pixels, area, file)
            self._uploads.move_to_end(name)
            while len(self._uploads) > MAX_UPLOADS:
                self._uploads.popitem(last=False)
        return name

    def get(self, name: str) -> FittedImage:
        """Return an image by its name. OptionError if it is unknown, DataError if it can't be read."""
        if name.startswith(DATA_PREFIX):
            index = int(name.removeprefix(DATA_PREFIX))
            if self._dataset is None or index not in self.offered:
                raise OptionError("the data set does not offer this image.")
            pixels, _ = load_resized(self._dataset, index, self.data.size, self.data.channels)
            return FittedImage(pixels, (0, 0, self.data.size, self.data.size), "IMAGE")
        with self._lock:
            if name not in self._uploads:
                raise OptionError("this image is no longer in memory: give it to the page again.")
            return self._uploads[name]


def _first_of_each_domain(dataset: Dataset) -> dict[int, int]:
    """Return the indices of the first images of each domain, with their domains, MAX_OFFERED in all."""
    labels = np.asarray(dataset.labels())
    each = max(1, MAX_OFFERED // max(1, len(dataset.info.domains)))
    found = [int(index) for domain in np.unique(labels) for index in np.flatnonzero(labels == domain)[:each]]
    return {index: int(labels[index]) for index in found[:MAX_OFFERED]}
