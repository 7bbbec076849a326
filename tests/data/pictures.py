"""Small images and data sets for the tests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ganzoo.data.images import crop_and_resize
from ganzoo.data.storage import open_path
from ganzoo.interfaces.dataset import DataInfo, Dataset


def noise(width: int = 6, height: int = 8, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return an image of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode)


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    """Encode the image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    """Write a folder with these files."""
    root.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive with these files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


class NumberedDataset(Dataset):
    """Image `i` is 4 x 4 px, grey, with i (modulo 256) in its left column and 0 elsewhere; its label is i."""

    def __init__(self, count: int) -> None:
        self.info = DataInfo("numbers", count, 4, 1)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        image = np.zeros((4, 4, 1), np.uint8)
        image[:, 0] = index % 256
        return crop_and_resize(image, size), index


def pets(root: Path, **others: bytes) -> Dataset:
    """Make cats and dogs for training, and a dog for validation."""
    paths = [f"train/{kind}/{index}.png" for kind in ("cat", "dog") for index in range(3)] + ["val/dog/0.png"]
    files = {path: encoded(noise(20, 24, seed=at)) for at, path in enumerate(paths)}
    return open_path(write_folder(root, {**files, **others}))
