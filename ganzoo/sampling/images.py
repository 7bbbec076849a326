"""Pictures for people: grids, PNG files, animations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image, ImageDraw, ImageFont

from ganzoo.errors import GanzooError, OptionError, reason
from ganzoo.files import temporary_path

SMALL = 64  # px; smaller images are enlarged in a grid, so that a person can see them
MARGIN = 2  # px between the cells of a grid
FPS = 20
GIF_FPS = 50  # browsers show faster GIFs slowly
QUALITY = 90  # of lossy WebP
CRF = "18"  # of H.264: no loss that one sees
LABEL_SIZES = 10, 24  # px; between these, the letters beside a grid are a fifth as high as its cells
LABEL_LENGTH = 40  # letters


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


def labelled(sheet: np.ndarray, labels: Sequence[str], others: Sequence[str] = ()) -> np.ndarray:
    """A grid of len(labels) rows with a text to the left of each. Letters that are not Latin become '?'.

    There is room for the labels of `others` too, so that sheets that take turns are of one size.
    """
    if not any([*labels, *others]):
        return sheet
    row = (sheet.shape[0] - MARGIN) // len(labels)
    size = int(np.clip(row // 5, *LABEL_SIZES))
    texts = [_text(label, size) for label in labels]
    width = max(text.shape[1] for text in [*texts, *(_text(label, size) for label in set(others))]) + 4 * MARGIN
    margin = np.full((sheet.shape[0], width, sheet.shape[2]), 255, np.uint8)
    for index, text in enumerate(texts):
        fitting = text[: row - MARGIN]
        top = MARGIN + index * row + (row - MARGIN - len(fitting)) // 2
        margin[top : top + len(fitting), 3 * MARGIN : 3 * MARGIN + text.shape[1]] = fitting[:, :, None]
    return np.concatenate([margin, sheet], 1)


def _text(text: str, size: int) -> np.ndarray:
    """Black letters on white, uint8 (H, W), no larger than their ink."""
    try:
        font = ImageFont.load_default(size)
    except TypeError:  # before Pillow 10.1 it has one size
        font = ImageFont.load_default()
    known = text[:LABEL_LENGTH].encode("latin-1", "replace").decode("latin-1")
    canvas = Image.new("L", (2 * size * (len(known) + 1), 3 * size))
    ImageDraw.Draw(canvas).text((size, size), known, 255, font)
    ink = canvas.getbbox()
    return 255 - np.asarray(canvas.crop(ink)) if ink else np.full((0, 0), 255, np.uint8)


def to_pil(image: np.ndarray) -> Image.Image:
    """A uint8 picture (H, W, 1 or 3) as a Pillow image."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def save(path: Path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all. GanzooError if the disk won't have it."""
    with _whole(path) as temporary:
        to_pil(image).save(temporary, path.suffix[1:].replace("jpg", "jpeg"))


def save_animation(path: Path, frames: Iterable[np.ndarray], fps: int = FPS) -> None:
    """Write uint8 pictures (H, W, 1 or 3) as GIF, WebP or MP4, by the path's suffix, whole or not at all; GIF and WebP
    loop for ever.

    No more than one frame is in memory. A GIF's frames last hundredths of a second, and have 256 colours each. WebP is
    lossless as long as that does not make it twice as large. GanzooError if the disk won't have it, OptionError if
    MP4 is not installed.
    """
    writers = {".gif": _save_gif, ".webp": _save_webp, ".mp4": _save_mp4}
    with _whole(path) as temporary:
        writers[path.suffix](temporary, frames, fps)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` at the end, and nothing if there is an error."""
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise GanzooError(f"{path}: can't be written ({reason(error)}).") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _save_gif(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    # Pillow's own save keeps every frame until the last.
    duration = 10 * round(100 / min(fps, GIF_FPS))
    with open(path, "wb") as file:
        for index, frame in enumerate(frames):
            coloured = _with_palette(frame)
            if index == 0:
                file.writelines(GifImagePlugin.getheader(coloured, info={"loop": 0})[0])
            file.writelines(GifImagePlugin.getdata(coloured, (0, 0), duration=duration, include_color_table=True))
        file.write(b";")


def _with_palette(frame: np.ndarray) -> Image.Image:
    """A frame in 256 colours of its own, found by k-means in a ninth of its pixels.

    Not dithered, as dots that change from frame to frame flicker.
    """
    if frame.shape[2] == 1:
        return to_pil(frame)
    few = to_pil(np.ascontiguousarray(frame[::3, ::3])).quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)
    return to_pil(frame).quantize(palette=few, dither=Image.Dither.NONE)


def _save_webp(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Frames encoded by Pillow, in the container of developers.google.com/speed/webp/docs/riff_container.

    Pillow's own save keeps every frame until the last.
    """
    settings: dict[str, Any] | None = None
    with open(path, "wb") as file:
        for index, frame in enumerate(frames):
            settings = settings or _webp_settings(frame)
            size = _number(frame.shape[1] - 1) + _number(frame.shape[0] - 1)
            if index == 0:
                file.write(b"RIFF\0\0\0\0WEBP")
                file.write(_chunk(b"VP8X", b"\x02\0\0\0" + size))  # an animation
                file.write(_chunk(b"ANIM", b"\xff\xff\xff\xff" + b"\0\0"))  # on white, for ever
            duration = round(1000 * (index + 1) / fps) - round(1000 * index / fps)
            place = _number(0) * 2 + size + _number(duration) + b"\x02"  # replaces what was there
            file.write(_chunk(b"ANMF", place + _webp(frame, settings)[12:]))
        length = file.tell() - 8
        file.seek(4)
        file.write(length.to_bytes(4, "little"))


def _webp_settings(frame: np.ndarray) -> dict[str, Any]:
    lossless, lossy = {"lossless": True}, {"quality": QUALITY}
    return lossless if len(_webp(frame, lossless)) < 2 * len(_webp(frame, lossy)) else lossy


def _webp(frame: np.ndarray, settings: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    to_pil(frame).convert("RGB").save(buffer, "webp", **settings)
    return buffer.getvalue()


def _number(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def _save_mp4(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    try:
        import av
    except ImportError:
        raise OptionError('--format mp4 needs the extra "video": pip install "ganzoo[video]"') from None
    with av.open(str(path), "w") as container:
        stream = None
        for frame in _even(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": CRF})
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
