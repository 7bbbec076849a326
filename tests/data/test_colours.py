"""Images with transparency, 16-bit grey or ICC profiles are read in the right colours."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from ganzoo.data import colours
from ganzoo.data.images import decode, to_array
from tests.data.pictures import encoded, noise
from tests.data.profiles import printer, srgb, swapped


def png(bits: int, colour_type: int, row: bytes, transparent: bytes, width: int = 4) -> bytes:
    """Return a PNG of one row, with a transparent level or colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(
    ("bits", "row", "level", "levels"),
    [
        (1, b"\x50", 1, [0, 255, 0, 255]),
        (1, b"\x50", 0, [255, 255, 255, 255]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),
        (4, b"\x01\x2f", 2, [0, 17, 255, 255]),
        (8, b"\0\1\2\3", 2, [0, 1, 255, 3]),
        (16, struct.pack(">4H", 0, 2570, 514, 65535), 514, [0, 10, 255, 255]),
    ],
)
def test_the_transparent_level_of_grey_becomes_white(bits: int, row: bytes, level: int, levels: list[int]) -> None:
    image = decode(png(bits, 0, row, struct.pack(">H", level)), "x.png")
    assert to_array(image, 1)[0, :, 0].tolist() == levels


def test_the_transparent_colour_of_a_16_bit_png_becomes_white() -> None:
    row = struct.pack(">6H", *(257 * 3,) * 3, *(257 * 9,) * 3)
    image = decode(png(16, 2, row, struct.pack(">3H", *(257 * 3,) * 3), width=2), "x.png")
    assert to_array(image, 3)[0].tolist() == [[255] * 3, [9] * 3]


def test_grey_with_premultiplied_alpha_is_read() -> None:
    image = Image.frombytes("La", (2, 1), bytes([20, 51, 40, 255]))  # 100 with an alpha of 1/5, and 40
    assert to_array(image, 1)[0, :, 0].tolist() == [224, 40]


def pixel(image: Image.Image, profile: bytes | None, kind: str = "png", channels: int = 3) -> list[int]:
    """Return the first pixel of an image that is saved with a profile and read again."""
    found: list[int] = to_array(decode(encoded(image, kind, icc_profile=profile), "x"), channels)[0, 0].tolist()
    return found


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_converted_from_the_profile_to_srgb(mode: str) -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0)).convert(mode)
    assert pixel(red, None) == [255, 0, 0]
    assert pixel(red, swapped()) == [0, 255, 0]
    assert pixel(red, swapped(), channels=1) == [150]


def test_transparent_pixels_of_an_image_with_a_profile_become_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert pixel(clear, swapped()) == [255, 255, 255]
    keyed = encoded(Image.new("RGB", (8, 8), (255, 0, 0)), transparency=(255, 0, 0), icc_profile=swapped())
    assert to_array(decode(keyed, "x"), 3)[0, 0].tolist() == [255, 255, 255]


def test_an_srgb_profile_changes_no_pixel() -> None:
    image = noise(40, 40)
    np.testing.assert_array_equal(to_array(decode(encoded(image, icc_profile=srgb()), "x"), 3), np.asarray(image))


def test_a_cmyk_profile_is_applied() -> None:
    ink = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert pixel(ink, None, "jpeg") == [0, 255, 255]
    assert pixel(ink, printer(), "jpeg") == [0, 0, 0]
    assert pixel(Image.new("CMYK", (8, 8)), printer(), "jpeg") == [255, 255, 255]


@pytest.mark.parametrize("profile", [b"junk", b"junk" * 100, srgb()[:300], swapped()[:-200], bytes(5 << 20)])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_damaged_or_unsuitable_profile_is_ignored(profile: bytes, mode: str) -> None:
    image = Image.new(mode, (8, 8))
    assert pixel(image, profile, "tiff") == pixel(image, None, "tiff")


def test_a_profile_for_a_different_colour_space_is_ignored() -> None:
    for image, profile in ((Image.new("RGB", (8, 8), (9, 9, 9)), printer()), (Image.new("L", (8, 8), 9), swapped())):
        assert pixel(image, profile, "tiff") == [9, 9, 9]


def test_images_are_read_if_pillow_lacks_profile_support(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise ImportError

    profile = swapped()
    colours._transform.cache_clear()
    monkeypatch.setattr(colours.ImageCms, "ImageCmsProfile", missing)
    assert pixel(Image.new("RGB", (8, 8), (255, 0, 0)), profile) == [255, 0, 0]
    colours._transform.cache_clear()


def test_threads_share_a_profile() -> None:
    files = [encoded(noise(50, 50, seed=seed), icc_profile=swapped()) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: to_array(decode(data, "x"), 3), files))
    for data, pixels in zip(files, together):
        np.testing.assert_array_equal(to_array(decode(data, "x"), 3), pixels)
