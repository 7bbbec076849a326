"""Zip archives in the layout of NVIDIA's dataset tools, which StyleGAN2-ADA and StyleGAN3 read.

The images are PNGs of one square size, stored without further compression: 00000/img00000000.png, ..., with a new
folder after every thousand. The file `dataset.json` has their labels; see `label_file`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ganzoo.data.attributes import read_attributes
from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.label_file import LABEL_FILE, OWN_ENTRY
from ganzoo.interfaces.dataset import Dataset

PERMISSIONS = 0o644 << 16  # in a zip archive's directory: readable by everybody


class ZipBuilder(FileBuilder):
    """A zip archive under construction."""

    def __init__(self, path: Path, file: IO[bytes], dataset: Dataset, metadata: Mapping[str, Any]) -> None:
        super().__init__(path, file, dataset, metadata)
        self._attributes = None if "domains" in metadata else read_attributes(dataset)
        self._archive = zipfile.ZipFile(file, "w")

    def write_image(self, data: bytes, label: int) -> None:
        self._store(image_name(len(self.labels)), data)

    def _store(self, name: str, data: bytes) -> None:
        member = zipfile.ZipInfo(name)  # dated 1980, so that equal images give equal archives
        member.external_attr = PERMISSIONS
        self._archive.writestr(member, data)

    def finish(self) -> None:
        own = {name: self.metadata[name] for name in ("domains", "flip", "fit", "channels") if name in self.metadata}
        content = {"labels": self._labels(), OWN_ENTRY: own}
        self._store(LABEL_FILE, json.dumps(content).encode())
        self._archive.close()

    def _labels(self) -> list[tuple[str, Any]] | None:
        """Return a class or a list of attributes for each image; None if it has neither."""
        if "domains" in self.metadata:
            values: list[Any] = self.labels
        elif self._attributes is not None:
            values = np.delete(self._attributes, self.skipped, 0).tolist()
        else:
            return None
        return [(image_name(number), value) for number, value in enumerate(values)]

    def close(self) -> None:
        self._archive.close()


def image_name(number: int) -> str:
    """Return the path of an image in the archive."""
    return f"{number // 1000:05d}/img{number:08d}.png"
