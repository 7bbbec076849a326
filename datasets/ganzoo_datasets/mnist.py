"""The 60,000 training digits of MNIST, from files in the package jittor-offline."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import DataError, DataInfo, Dataset, DataSource

if TYPE_CHECKING:
    import numpy as np

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
SIDE = 28
HEADERS = {IMAGES: 16, LABELS: 8}  # bytes before the pixels or labels in an IDX file


def _folder() -> Path | None:
    spec = find_spec("jittor_offline")
    return Path(spec.origin).parent if spec and spec.origin else None


class Digits(Dataset):
    """All images, in memory (47 MB), with the ten digits as domains."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels
        self.info = DataInfo("mnist", len(images), SIDE, 1, tuple("0123456789"), flip=False)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import crop_and_resize

        return crop_and_resize(self._images[index], size), int(self._labels[index])

    def labels(self) -> np.ndarray:
        return self._labels.astype(int)


class MNIST(DataSource):
    """Handwritten digits (LeCun et al.), 28 px, grey."""

    name = "mnist"
    summary = "60,000 handwritten digits, 28 px, grey"

    def ready(self) -> bool:
        folder = _folder()
        return folder is not None and all((folder / name).exists() for name in (IMAGES, LABELS))

    def open(self) -> Dataset:
        import numpy as np

        if not self.ready():
            raise DataError(
                "mnist: its files are part of the package jittor-offline, which is missing. `ganzoo doctor` says how "
                "to install it."
            )
        folder = _folder()
        assert folder is not None
        contents = {}
        for name, header in HEADERS.items():
            try:
                contents[name] = np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise DataError(f"mnist: {folder / name} is damaged ({error}). Reinstall jittor-offline.") from error
        images, labels = contents[IMAGES], contents[LABELS]
        if not len(labels) or len(images) != len(labels) * SIDE * SIDE:
            raise DataError(f"mnist: {len(labels)} labels don't fit the images in {folder}. Reinstall jittor-offline.")
        return Digits(images.reshape(-1, SIDE, SIDE, 1), labels)
