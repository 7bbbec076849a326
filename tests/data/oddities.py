"""A folder of readable and unreadable image files of many kinds."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tests.data.pictures import encoded, noise


def _bomb() -> bytes:
    """Return a decompression bomb: a PNG of a few bytes that declares 100,000 x 100,000 px."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _animation(seed: int) -> bytes:
    buffer = io.BytesIO()
    frames = [noise(12, 12, seed=seed + step) for step in range(3)]
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _grey16(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 65536, (12, 12)).astype(np.uint16)
    return encoded(Image.fromarray(pixels))


def _rotated(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 1 + seed % 8
    return encoded(noise(12, 18, seed=seed), "jpeg", exif=exif)


def _commented(seed: int) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 1000)
    return encoded(noise(12, 12, seed=seed), "png", pnginfo=text)


# Names of files, each with a function from a seed to the file's content.
READABLE = {
    "rgb.png": lambda seed: encoded(noise(12, 15, seed=seed)),
    "grey.png": lambda seed: encoded(noise(12, 15, "L", seed=seed)),
    "palette.png": lambda seed: encoded(noise(12, 15, "P", seed=seed)),
    "bilevel.png": lambda seed: encoded(noise(12, 15, "1", seed=seed)),
    "alpha.webp": lambda seed: encoded(noise(12, 15, "RGBA", seed=seed), "webp"),
    "cmyk.jpg": lambda seed: encoded(noise(12, 15, "CMYK", seed=seed), "jpeg"),
    "grey16.png": _grey16,
    "grey16.TIFF": lambda seed: encoded(Image.fromarray(np.full((9, 9), seed * 60, np.uint16)), "tiff"),
    "animated.gif": _animation,
    "strip.png": lambda seed: encoded(Image.new("L", (3000 + seed, 1))),
    "pixel.bmp": lambda seed: encoded(noise(1, 1, seed=seed), "bmp"),
    "rotated.jpeg": _rotated,
    "commented.png": _commented,
    "a jpeg called.png": lambda seed: encoded(noise(12, 15, seed=seed), "jpeg"),
    "a ümläut \u4e16.jpg": lambda seed: encoded(noise(12, 15, seed=seed), "jpeg"),
}
UNREADABLE = {
    "empty.png": lambda seed: b"",
    "text.png": lambda seed: b"no image, number %d" % seed,
    "html.jpg": lambda seed: b"<html>404</html>",
    "zeros.png": lambda seed: bytes(500),
    "header.png": lambda seed: encoded(noise(12, 15, seed=seed))[: 8 + seed % 25],
    "half.png": lambda seed: encoded(noise(30, 30, seed=seed))[:1200],
    "half.jpg": lambda seed: encoded(noise(60, 60, seed=seed), "jpeg")[:900],
    "half.webp": lambda seed: encoded(noise(60, 60, seed=seed), "webp")[:900],
    "bomb.png": lambda seed: _bomb(),
}


def write_oddities(root: Path, count: int) -> tuple[list[str], list[str]]:
    """Fill a folder with `count` files and dangling links. Return the names of the readable and the unreadable ones."""
    root.mkdir()
    good, bad = [], []
    kinds = [*READABLE.items(), *UNREADABLE.items()]
    for index in range(count):
        if index % (len(kinds) + 1) == len(kinds):
            bad.append(f"{index:04d} gone.png")
            (root / bad[-1]).symlink_to(root / "nowhere.png")
            continue
        name, make = kinds[index % (len(kinds) + 1)]
        (good if name in READABLE else bad).append(f"{index:04d} {name}")
        (root / f"{index:04d} {name}").write_bytes(make(index))
    return good, bad
