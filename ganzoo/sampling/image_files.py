"""Image files and animations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image

from ganzoo.data.alpha import over_white
from ganzoo.errors import GanzooError, OptionError, reason
from ganzoo.files import atomic_path
from ganzoo.sampling.apng import save_apng

FPS = 20
GIF_FPS = 50  # browsers slow down GIFs with a higher frame rate
WEBP_QUALITY = 90  # of lossy WebP, 0 to 100
H264_CRF = "18"  # visually lossless
TRANSPARENT = 255  # palette index of transparent pixels in a GIF; of RGBA, those whose alpha is below HALF
HALF = 128


def to_pil(image: np.ndarray) -> Image.Image:
    """Convert a uint8 picture (H, W, 1, 3 or 4) to a Pillow image."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def save(path: Path, image: np.ndarray) -> None:
    """Write a picture atomically. GanzooError if it can't be written."""
    with _atomic_path(path) as temporary:
        to_pil(image).save(temporary, path.suffix[1:].replace("jpg", "jpeg"))


def save_animation(path: Path, frames: Iterable[np.ndarray], fps: int = FPS) -> None:
    """Write uint8 pictures (H, W, 1, 3 or 4) atomically as GIF, WebP, APNG or MP4, by the path's suffix. All but MP4
    loop endlessly.

    Only one frame is in memory at a time. In a GIF, durations are multiples of 10 ms, and each frame has 256 colours.
    WebP is lossless, unless that makes the first frame at least twice as large. WebP and APNG keep the transparency of
    RGBA; in a GIF, a pixel is transparent if its alpha is below a half, and MP4 is over white. Raises GanzooError if
    the file can't be written, OptionError if PyAV, which writes MP4, is not installed.
    """
    writers = {".gif": _save_gif, ".webp": _save_webp, ".apng": save_apng, ".mp4": _save_mp4}
    with _atomic_path(path) as temporary:
        writers[path.suffix](temporary, frames, fps)


@contextlib.contextmanager
def _atomic_path(path: Path) -> Iterator[Path]:
    """Like `files.atomic_path`, but raise GanzooError if the file can't be written."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise GanzooError(f"{path}: can't be written ({reason(error)}).") from error


def _save_gif(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    # Pillow's own save (as of 13.0) keeps all frames in memory, although it accepts a generator.
    settings = {"duration": 10 * round(100 / min(fps, GIF_FPS)), "include_color_table": True}
    with open(path, "wb") as file:
        for index, frame in enumerate(frames):
            if frame.shape[2] == 4:
                settings |= {"transparency": TRANSPARENT, "disposal": 2}  # clear the frame before the next one
            indexed = _with_palette(frame)
            if index == 0:
                file.writelines(GifImagePlugin.getheader(indexed, info={"loop": 0})[0])
            file.writelines(GifImagePlugin.getdata(indexed, (0, 0), **settings))
        file.write(b";")


def _with_palette(frame: np.ndarray) -> Image.Image:
    """Quantise a frame to its own palette of 256 colours, found by median cut and k-means on a ninth of its pixels. One
    of the colours of RGBA is for transparent pixels.

    There is no dithering, because dots that change from frame to frame flicker.
    """
    if frame.shape[2] == 1:
        return to_pil(frame)
    if frame.shape[2] == 4:
        return _with_transparency(frame)
    return _quantised(frame, 256)


def _with_transparency(frame: np.ndarray) -> Image.Image:
    opaque = frame[:, :, 3] >= HALF
    quantised = _quantised(frame[:, :, :3] * opaque[:, :, None], TRANSPARENT)
    indices = np.where(opaque, np.asarray(quantised), TRANSPARENT).astype(np.uint8)
    indexed = Image.frombytes("P", quantised.size, indices.tobytes())
    indexed.putpalette([*(quantised.getpalette() or ()), *[0] * 3 * 256][: 3 * 256])
    return indexed


def _quantised(frame: np.ndarray, colours: int) -> Image.Image:
    sample = to_pil(np.ascontiguousarray(frame[::3, ::3])).quantize(colours, Image.Quantize.MEDIANCUT, kmeans=1)
    return to_pil(frame).quantize(palette=sample, dither=Image.Dither.NONE)


def _save_webp(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write frames, each encoded by Pillow, to a container (see developers.google.com/speed/webp/docs/riff_container).

    Pillow's own save (as of 13.0) keeps all frames in memory, although it accepts a generator: 0.6 GB for 600 frames of
    512 px. This function takes 20 MB for any number of frames.
    """
    settings: dict[str, Any] | None = None
    with open(path, "wb") as file:
        for index, frame in enumerate(frames):
            settings = settings or _webp_settings(frame)
            size = _uint24(frame.shape[1] - 1) + _uint24(frame.shape[0] - 1)
            if index == 0:
                file.write(b"RIFF\0\0\0\0WEBP")
                flags = b"\x12" if frame.shape[2] == 4 else b"\x02"  # animation, with alpha or without
                file.write(_chunk(b"VP8X", flags + b"\0\0\0" + size))
                file.write(_chunk(b"ANIM", b"\xff\xff\xff\xff" + b"\0\0"))  # white background, endless loop
            duration = round(1000 * (index + 1) / fps) - round(1000 * index / fps)
            header = _uint24(0) * 2 + size + _uint24(duration) + b"\x02"  # overwrite, don't blend
            file.write(_chunk(b"ANMF", header + _pixels(_webp(frame, settings))))
        length = file.tell() - 8
        file.seek(4)
        file.write(length.to_bytes(4, "little"))


def _webp_settings(frame: np.ndarray) -> dict[str, Any]:
    lossless, lossy = {"lossless": True}, {"quality": WEBP_QUALITY}
    return lossless if len(_webp(frame, lossless)) < 2 * len(_webp(frame, lossy)) else lossy


def _webp(frame: np.ndarray, settings: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    to_pil(frame).convert("RGBA" if frame.shape[2] == 4 else "RGB").save(buffer, "webp", **settings)
    return buffer.getvalue()


def _pixels(webp: bytes) -> bytes:
    """Return the chunks of a WebP file that hold its pixels: lossy WebP with alpha begins with another header."""
    chunks = webp[12:]
    return chunks[18:] if chunks.startswith(b"VP8X") else chunks


def _uint24(value: int) -> bytes:
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
                stream = container.add_stream("libx264", rate=fps, options={"crf": H264_CRF})
                stream.height, stream.width, stream.pix_fmt = frame.shape[0], frame.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))


def _even(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield RGB frames, padded to even sides as the codec requires."""
    for frame in frames:
        rgb = frame.repeat(3, 2) if frame.shape[2] == 1 else over_white(frame)
        pad = [(0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)]
        yield np.pad(rgb, pad, constant_values=255)
