"""Damages files between two sessions of a run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

Fault = Callable[[Path, random.Random], None]


def _cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data))])


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _zero(path: Path, rng: random.Random) -> None:
    """Zero a block, as if the power had failed before the block was written."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    path.write_bytes(data)


def _text(path: Path, rng: random.Random) -> None:
    path.write_text("This is not a checkpoint or an image.\n" * rng.randrange(1, 1000))


def _foreign(path: Path, rng: random.Random) -> None:
    """Write other arrays in the same format."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros((rng.randrange(1, 9), 3), np.float32)}, str(path))


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _folder(path: Path, rng: random.Random) -> None:
    """Replace the file with a folder, which not even root can read as a file."""
    path.unlink()
    path.mkdir()


def _dangling(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere.png")


CHECKPOINT_FAULTS: dict[str, Fault] = {
    "cut": _cut,
    "flipped bit": _flip,
    "zeroed block": _zero,
    "text": _text,
    "foreign arrays": _foreign,
    "empty": _empty,
}
IMAGE_FAULTS: dict[str, Fault] = {
    "cut": _cut,
    "empty": _empty,
    "text": _text,
    "deleted": _delete,
    "a folder": _folder,
    "a dangling link": _dangling,
}


class ImageFolder:
    """A folder with copies of some images of a data set, which can be damaged and restored."""

    def __init__(self, name: str, count: int, size: int, folder: Path) -> None:
        from PIL import Image

        from ganzoo.data.catalog import open_data
        from ganzoo.data.images import crop_and_resize
        from ganzoo.registry import plugins

        self.folder, self.pristine = folder, folder.with_name(f"{folder.name}-pristine")
        dataset = open_data(name, plugins.load())
        if size:
            dataset = dataset.at_size(size)
        domains = dataset.info.domains
        for index in random.Random(0).sample(range(len(dataset)), count):
            pixels, label = dataset.load(index)
            below = self.pristine / domains[label] if domains else self.pristine
            below.mkdir(parents=True, exist_ok=True)
            image = crop_and_resize(pixels, size or pixels.shape[0], dataset.info.channels)
            Image.fromarray(image.squeeze()).save(below / f"{index:06d}.png")
        shutil.copytree(self.pristine, self.folder)
        self.paths = sorted(path.relative_to(self.pristine) for path in self.pristine.rglob("*.png"))
        self.damaged_images: dict[Path, str] = {}

    def damage(self, kind: str, rng: random.Random) -> None:
        """Damage an intact image."""
        name = rng.choice([path for path in self.paths if path not in self.damaged_images])
        IMAGE_FAULTS[kind](self.folder / name, rng)
        self.damaged_images[name] = kind

    def restore(self) -> None:
        """Restore every image."""
        for name in self.damaged_images:
            path = self.folder / name
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            shutil.copy2(self.pristine / name, path)
        self.damaged_images.clear()
