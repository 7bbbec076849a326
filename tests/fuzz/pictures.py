"""Image files: decoding and resizing."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache

import numpy as np
from PIL import Image

from ganzoo.data.images import channels_of, crop_and_resize, decode, peek, to_array
from tests.data.profiles import printer, swapped
from tests.fuzz.edits import file_from, ganzoo_errors_allowed

warnings.simplefilter("ignore")  # Pillow warns about many malformed files
KINDS = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB"),
    "gif": ("L", "P"),
    "tiff": ("1", "L", "RGB", "CMYK", "I;16", "LAB"),
}


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8))
    grey = colours.convert("L")
    found = []
    for kind, modes in KINDS.items():
        for mode in modes:
            image = (
                grey.convert("I").convert(mode)
                if mode == "I;16"
                else colours.convert(mode)
                if mode != "LAB"
                else Image.new("LAB", (7, 9))
            )
            found.append(_encoded(image, kind))
    exif = Image.Exif()
    exif[0x0112] = 6
    found += [_encoded(colours, "jpeg", exif=exif), _encoded(colours, "jpeg", progressive=True)]
    found += [_encoded(colours, kind, save_all=True, append_images=[grey]) for kind in ("gif", "png", "webp", "tiff")]
    found += [_encoded(colours, "tiff", compression=name) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")]
    found += [_encoded(colours, kind, icc_profile=swapped()) for kind in ("png", "jpeg")]
    found.append(_encoded(colours.convert("CMYK"), "tiff", icc_profile=printer()))
    return found


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def check(data: bytes) -> None:
    file = file_from(data, seeds())
    with ganzoo_errors_allowed():
        peek(file, "x.png")
    with ganzoo_errors_allowed():
        image = decode(file, "x.png")
        for channels in {channels_of(image), 1, 3, 4}:
            try:
                pixels = to_array(image, channels)
            except ValueError:  # allowed, because callers such as `StoredImages.load` handle it
                continue
            assert pixels.dtype == np.uint8
            assert pixels.shape[2] == channels
            assert crop_and_resize(pixels, 8, channels).shape == (8, 8, channels)
