"""Zip archives in the layout of NVIDIA's dataset tools, which StyleGAN2-ADA and StyleGAN3 read.

The images are PNGs of one square size, stored without further compression: 00000/img00000000.png, ..., with a new
folder after every thousand. The file `dataset.json` has their labels; see `label_file`. Annotations are in
`metadata.jsonl`, as in the imagefolder of Hugging Face's `datasets`, which NVIDIA's programs ignore.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ganzoo.data.abstract_storage import MAX_FILE_BYTES
from ganzoo.data.annotation_columns import DEFAULT_LABEL, AnnotationColumns, Column, Say
from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.label_file import LABEL_FILE, OWN_ENTRY
from ganzoo.data.metadata_file import FILE_NAME, METADATA_FILES, names_images
from ganzoo.errors import printable
from ganzoo.interfaces.dataset import Dataset

METADATA_FILE = METADATA_FILES[1]  # JSON keeps the types of the values
PERMISSIONS = 0o644 << 16  # in a zip archive's directory: readable by everybody


class ZipBuilder(FileBuilder):
    """A zip archive under construction."""

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        dataset: Dataset,
        metadata: Mapping[str, Any],
        annotations: AnnotationColumns,
    ) -> None:
        super().__init__(path, file, dataset, metadata, annotations)
        self._archive = zipfile.ZipFile(file, "w")

    @staticmethod
    def choose_annotations(splits: Sequence[AnnotationColumns], say: Say) -> Sequence[AnnotationColumns]:
        sizes = {name: max(_metadata_bytes(name, each.columns[name]) for each in splits) for name in splits[0].columns}
        kept, left = set[str](), MAX_FILE_BYTES
        for name in sorted(sizes, key=sizes.__getitem__):
            if names_images(name):
                say(f"the annotation {printable(name)!r} is not stored: in {METADATA_FILE}, it would name other images")
            elif sizes[name] > left:
                say(f"the annotation {printable(name)!r} is not stored: {METADATA_FILE} would be too large")
            else:
                kept.add(name)
                left -= sizes[name]
        return [
            replace(each, columns={name: each.columns[name] for name in each.columns if name in kept})
            for each in splits
        ]

    def write_image(self, data: bytes, label: int) -> None:
        self._store(image_name(len(self.labels)), data)

    def _store(self, name: str, data: bytes) -> None:
        member = zipfile.ZipInfo(name)  # dated 1980, so that equal images give equal archives
        member.external_attr = PERMISSIONS
        self._archive.writestr(member, data)

    def finish(self) -> None:
        own = {name: self.metadata[name] for name in ("domains", "flip", "fit", "channels") if name in self.metadata}
        if self.annotations.label not in ("", DEFAULT_LABEL):
            own["label"] = self.annotations.label
        if self.attribute_names and "domains" not in self.metadata:
            own["attributes"] = list(self.attribute_names)
        content = {"labels": self._labels(), OWN_ENTRY: own}
        self._store(LABEL_FILE, json.dumps(content).encode())
        if self.annotations.columns:
            self._store(
                METADATA_FILE, "".join(map(self._metadata_line, range(len(self.labels)), self._sources())).encode()
            )
        self._archive.close()

    def _sources(self) -> list[int]:
        """Return the indices of the source images that were written."""
        skipped = {*self.skipped}
        return [index for index in range(self.done) if index not in skipped]

    def _labels(self) -> list[tuple[str, Any]] | None:
        """Return a class or a list of attributes for each image; None if it has neither."""
        if "domains" in self.metadata:
            values: list[Any] = self.labels
        elif self.attributes is not None:
            values = self.attributes[self._sources()].tolist()
        else:
            return None
        return [(image_name(number), value) for number, value in enumerate(values)]

    def _metadata_line(self, number: int, source: int) -> str:
        """Return the annotations of an image as a line of JSON."""
        known = {name: column.values[source] for name, column in self.annotations.columns.items()}
        return json.dumps({FILE_NAME: image_name(number), **known}, ensure_ascii=False) + "\n"

    def close(self) -> None:
        self._archive.close()


def _metadata_bytes(name: str, column: Column) -> int:
    """Return how many bytes an annotation takes at most in the metadata file, alone beside the images' names."""
    line = json.dumps({FILE_NAME: image_name(10**7), name: None}) + "\n"
    return len(json.dumps(column.values)) + len(line) * len(column.values)


def image_name(number: int) -> str:
    """Return the path of an image in the archive."""
    return f"{number // 1000:05d}/img{number:08d}.png"
