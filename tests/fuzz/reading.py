"""Reading of data sets in any storage format, as training and `ganzoo data` do it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ganzoo.data.labelling import with_labels
from ganzoo.data.storage import open_path
from ganzoo.interfaces.dataset import Dataset
from tests.fuzz.edits import Choices, edit_bytes, ganzoo_errors_allowed

MAX_LABELS = 5  # annotations that are used as labels
MAX_IMAGES = 30  # read from each data set
FILES = ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "val/cat/3.png", "val/dog/9.jpg")
MULTI_SIZE_FILES = ("8/a/1.png", "8/b/2.png", "16/a/1.png", "16/b/2.png")


@lru_cache(maxsize=16)
def picture(size: int, kind: str = "png") -> bytes:
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def choose_file(choices: Choices, files: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return the name and content of a file: one of `files`, with the rest of the input as its content, or edited."""
    as_it_is = choices.below(4) == 0
    name, content = choices.pick(files)
    return name, choices.rest() if as_it_is else edit_bytes(choices, content)


def _labelled(data: Dataset) -> Iterator[Dataset]:
    """Yield the data set with each of its annotations as labels, where that works."""
    for name in [*data.annotations()][:MAX_LABELS]:
        for labels in (name, f"{name},"):
            with ganzoo_errors_allowed():
                yield with_labels(data, labels)


def read_file(name: str, content: bytes) -> None:
    """Write a file to a folder of its own, and read it as a data set."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inner" / name
        path.parent.mkdir()
        path.write_bytes(content)
        read_all(path)


def read_all(path: Path) -> None:
    """Read a data set. Each step may raise a GanzooError, but none may leave files in the folder around `path`."""
    before = sorted(each.name for each in path.parent.iterdir())
    with ganzoo_errors_allowed():
        data = open_path(path)
        assert data.info.channels in (1, 3)
        assert data.info.size > 0
        for part in (data, data.at_size(16), data.unlabelled(), *_labelled(data)):
            labels = part.labels()
            assert len(labels) == len(part)
            assert part.attributes().shape == (len(part), len(part.info.attributes))
            for index in range(min(MAX_IMAGES, len(part))):
                with ganzoo_errors_allowed():
                    pixels, label = part.load(index)
                    assert pixels.dtype == np.uint8
                    assert pixels.shape[2] == data.info.channels
                    assert label == labels[index]
                    assert not label or label < len(part.info.domains)
            assert part.attributes().shape == (len(part), len(part.info.attributes))
        validation = data.validation()
        for index in range(min(MAX_IMAGES, len(validation or ()))):
            with ganzoo_errors_allowed():
                validation.load(index)  # type: ignore[union-attr]
    assert sorted(each.name for each in path.parent.iterdir()) == before
