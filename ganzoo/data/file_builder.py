"""Construction of a single file with images of one size: a zip archive or a Parquet file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ganzoo.data.annotation_columns import AnnotationColumns, Say
from ganzoo.data.attributes import read_attributes
from ganzoo.data.lmdb_builder import PreparedImage
from ganzoo.errors import DataError
from ganzoo.files import write_error
from ganzoo.interfaces.dataset import Dataset


class FileBuilder(ABC):
    """A file under construction, with the same counts as an LmdbBuilder: `done` source images have been processed;
    `labels` has a label for each readable one, `bad` a message for each unreadable one, and `skipped` its index.

    `metadata` describes the content, as in an LMDB: 'domains' (if images have labels), 'flip' and 'lossless'.
    `annotations` are those of all source images.
    """

    discard = False  # has no effect: an unfinished file is always deleted

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        dataset: Dataset,
        metadata: Mapping[str, Any],
        annotations: AnnotationColumns,
    ) -> None:
        self.path, self.file, self.metadata, self.annotations = path, file, metadata, annotations
        self.attribute_names, self.attributes = dataset.info.attributes, read_attributes(dataset)
        self.done, self.labels, self.bad, self.skipped = 0, list[int](), list[str](), list[int]()

    def add(self, results: Sequence[PreparedImage | str]) -> None:
        """Add the next source images, each as a prepared image or as a message that says why it is unreadable."""
        for result in results:
            if isinstance(result, str):
                self.bad.append(result)
                self.skipped.append(self.done)
            else:
                (data,), label = result
                with _write_errors(self.path):
                    self.write_image(data, label)
                self.labels.append(label)
            self.done += 1

    @staticmethod
    def choose_annotations(splits: Sequence[AnnotationColumns], say: Say) -> Sequence[AnnotationColumns]:
        """Return the annotations that the format can hold, of the training and the validation images. Others are
        reported to `say`."""
        return splits

    @abstractmethod
    def write_image(self, data: bytes, label: int) -> None:
        """Write an image file, whose number is len(self.labels). It is made from the source image `self.done`."""

    @abstractmethod
    def finish(self) -> None:
        """Write what follows the images."""

    @abstractmethod
    def close(self) -> None:
        """Release what the builder has opened, finished or not."""


@contextmanager
def build_file(
    kind: type[FileBuilder],
    path: Path,
    temporary: Path,
    dataset: Dataset,
    metadata: Mapping[str, Any],
    annotations: AnnotationColumns,
) -> Iterator[FileBuilder]:
    """Write a file to `temporary`, which the caller renames to `path`. It is complete and on the disk if the block ends
    without an exception. DataError, naming `path`, if it can't be written."""
    with _write_errors(path):
        file = open(temporary, "wb")
    try:
        with _write_errors(path):
            builder = kind(path, file, dataset, metadata, annotations)
        try:
            yield builder
            with _write_errors(path):
                builder.finish()
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):  # the first error is the one to report
                builder.close()
    finally:
        with suppress(OSError):
            file.close()


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Convert OSError to DataError, which names `path`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: can't be written ({write_error(error)}).") from error
