"""Pictures for people: grids, PNG files, animations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganzoo.errors import GanzooError, OptionError

ANIMATIONS = ("gif", "webp", "mp4")
SMALL = 64  # px; smaller images are enlarged in a grid, so that a person can see them
MARGIN = 2  # px between the cells of a grid
FRAME_SECONDS = 1 / 20


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns of a sheet of `count` images, about twice as wide as high."""
    rows = max(1, int((count / 2) ** 0.5))
    return rows, -(-count // rows)


def grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images uint8 (N, H, W, C), row by row, as one uint8 picture; cells without an image stay white."""
    count, height, width, channels = images.shape
    factor = max(1, SMALL // max(height, width))
    cell_h, cell_w = height * factor + MARGIN, width * factor + MARGIN
    sheet = np.full((rows * cell_h + MARGIN, columns * cell_w + MARGIN, channels), 255, np.uint8)
    for index in range(min(count, rows * columns)):
        top, left = MARGIN + index // columns * cell_h, MARGIN + index % columns * cell_w
        enlarged = images[index].repeat(factor, 0).repeat(factor, 1)
        sheet[top : top + height * factor, left : left + width * factor] = enlarged
    return sheet


def to_pil(image: np.ndarray) -> Image.Image:
    """A uint8 picture (H, W, 1 or 3) as a Pillow image."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def save(path: Path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all. GanzooError if the disk won't have it."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        to_pil(image).save(temporary, path.suffix[1:].replace("jpg", "jpeg"))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GanzooError(f"{path}: can't be written ({error.strerror or error}).") from error


def save_animation(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Write uint8 pictures as GIF, WebP (lossless) or MP4, by the path's suffix; GIF and WebP loop for ever."""
    try:
        if path.suffix == ".mp4":
            _save_mp4(path, frames)
            return
        first, *rest = (to_pil(frame) for frame in frames)
        extra: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
        milliseconds = round(FRAME_SECONDS * 1000)
        first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **extra)
    except OSError as error:
        raise GanzooError(f"{path}: can't be written ({error.strerror or error}).") from error


def _save_mp4(path: Path, frames: Iterable[np.ndarray]) -> None:
    try:
        import av
    except ImportError:
        raise OptionError('--format mp4 needs the extra "video": pip install "ganzoo[video]"') from None
    with av.open(str(path), "w") as container:
        stream = None
        for frame in _even(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=round(1 / FRAME_SECONDS))
                stream.height, stream.width, stream.pix_fmt = frame.shape[0], frame.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))


def _even(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """RGB frames whose sides are even, as the codec wants them."""
    for frame in frames:
        rgb = frame.repeat(3, 2) if frame.shape[2] == 1 else frame
        pad = [(0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)]
        yield np.pad(rgb, pad, constant_values=255)
