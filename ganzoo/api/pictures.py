"""Generated images and animations, which show themselves in a notebook."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.errors import OptionError
from ganzoo.files import output_folder
from ganzoo.sampling import image_files
from ganzoo.sampling.generation import Row, sheet_of
from ganzoo.sampling.input_images import filename_part

FPS = 20
STILL_FORMATS = (".png", ".webp", ".jpg", ".jpeg")
ANIMATION_FORMATS = (".gif", ".webp", ".apng", ".mp4")


class Images(np.ndarray):
    """Images uint8 (N, H, W, C), an array of NumPy that a notebook shows as a sheet.

    `latents` float32 (N, length) are the latents that the images were generated from, `seeds` their seeds, and `names`
    the class of each image, or an empty string. Translations have only names, those of their files. All three are None
    for an array that was computed from these images, such as a slice.
    """

    latents: np.ndarray | None
    seeds: tuple[int, ...] | None
    names: tuple[str, ...] | None
    _rows: Sequence[Row] | None

    def __new__(
        cls,
        images: np.ndarray,
        rows: Sequence[Row] | None = None,
        latents: Any = None,
        names: Sequence[str] | None = None,
    ) -> Images:
        """Wrap images uint8 (N, H, W, C). `rows` describes the rows of their sheet. Without `names`, `Row.seeds`
        are the seeds of the images; with `names`, only the number of them counts."""
        wrapped = np.asarray(images).view(cls)
        wrapped._rows, wrapped.latents = rows, latents
        if names is not None:
            wrapped.names = tuple(names)
        elif rows is not None:
            wrapped.seeds = tuple(seed for row in rows for seed in row.seeds if not isinstance(seed, tuple))
            wrapped.names = tuple(row.name for row in rows for _ in row.seeds)
        return wrapped

    def __array_finalize__(self, source: Any) -> None:
        self._rows = self.latents = self.seeds = self.names = None

    def sheet(self) -> np.ndarray:
        """Return a sheet of the images, uint8 (H, W, C), with a row per class if there are several, or the picture if
        this array is a single one. OptionError if this array does not hold images."""
        images = np.asarray(self)
        if (
            images.dtype != np.uint8
            or images.ndim not in (3, 4)
            or not images.size
            or images.shape[-1] not in (1, 3, 4)
        ):
            raise OptionError(f"not images: {images.dtype} {self.shape} instead of uint8 (N, H, W, C), C = 1, 3 or 4.")
        if images.ndim == 3:
            return images
        rows = self._rows or [Row(range(len(images)))]
        ends = np.cumsum([len(row.seeds) for row in rows])
        return sheet_of([list(part) for part in np.split(images, ends[:-1])], [row.name for row in rows], None)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a sheet to a .png, .webp or .jpg file, or each image to a folder: as seed0007.png, or cat-seed0007.png
        if there are classes; translations have the names that `ganzoo generate` gives them. Return the path.
        GanzooError if it can't be written."""
        target = Path(path)
        if target.suffix in STILL_FORMATS:
            image_files.save(target, self.sheet())
            return target
        if target.suffix:
            raise OptionError(f"{target}: give a folder, or a file that ends in {', '.join(STILL_FORMATS)}.")
        self.sheet()  # raises if there are no images to write
        with output_folder(target, "save") as folder:
            for index, image in enumerate(np.asarray(self).reshape(-1, *self.shape[-3:])):
                image_files.save(folder / f"{self._stem(index)}.png", image)
        return target

    def _stem(self, index: int) -> str:
        if self.names is None:
            return f"image{index:04d}"
        if self.seeds is None:
            return self.names[index]
        prefix = f"{filename_part(self.names[index])}-" if self.names[index] else ""
        return f"{prefix}seed{self.seeds[index]:04d}"

    def _repr_png_(self) -> bytes | None:
        try:
            sheet = self.sheet()
        except OptionError:  # an array computed from images, such as their mean: a notebook shows its numbers
            return None
        buffer = io.BytesIO()
        image_files.to_pil(sheet).save(buffer, "png")
        return buffer.getvalue()


class Animation:
    """Frames uint8 (T, H, W, C) of a walk, which a notebook plays in a loop."""

    def __init__(self, frames: np.ndarray, fps: int = FPS) -> None:
        self.frames, self.fps = frames, fps

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        count, height, width = self.frames.shape[:3]
        return f"<Animation: {count} frames of {width} x {height} px, {self.fps} per second>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a .gif, .webp, .apng or .mp4 file, and return its path. OptionError for another format, or if MP4 needs
        the extra `video`; GanzooError if the file can't be written."""
        target = Path(path)
        if target.suffix not in ANIMATION_FORMATS:
            raise OptionError(f"{target}: give a file that ends in {', '.join(ANIMATION_FORMATS)}.")
        image_files.save_animation(target, self.frames, self.fps)
        return target

    def _repr_html_(self) -> str:
        return f'<img alt="animation" src="data:image/webp;base64,{base64.b64encode(self._webp()).decode()}">'

    def _webp(self) -> bytes:
        mode = "RGBA" if self.frames.shape[-1] == 4 else "RGB"
        first, *others = (image_files.to_pil(frame).convert(mode) for frame in self.frames)
        buffer = io.BytesIO()
        first.save(buffer, "webp", save_all=True, append_images=others, duration=round(1000 / self.fps), loop=0)
        return buffer.getvalue()
