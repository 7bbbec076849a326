"""Some images are refused because of what their header says."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image, features

from ganzoo.data.images import decode, to_array
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise


def tiff(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "tiff")


def jpeg_with_scans(image: Image.Image, extra: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated `extra` times."""
    data = encoded(image, "jpeg", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * extra + data[end:]


@pytest.mark.parametrize(
    ("pixels", "numbers"),
    [
        (np.linspace(0, 1, 64, dtype="f4").reshape(8, 8), "floating-point numbers"),
        (np.arange(64, dtype="i4").reshape(8, 8) * 3000, "signed numbers"),
    ],
)
def test_numbers_without_a_known_range_are_refused(pixels: np.ndarray, numbers: str) -> None:
    with pytest.raises(DataError, match=f"x.tif: not a readable image .a TIFF of {numbers}, .* with 8 or 16 bits"):
        decode(tiff(pixels), "x.tif")


def test_unsigned_32_bit_numbers_are_refused() -> None:
    signed = tiff(np.zeros((8, 8), "i4"))
    tag = b"\x53\x01\x03\0\x01\0\0\0"
    data = signed.replace(tag + b"\2", tag + b"\1")
    with pytest.raises(DataError, match="a TIFF of 32-bit numbers"):
        decode(data, "x.tif")


def test_separate_planes_are_read_with_8_bits_and_refused_with_16() -> None:
    def planar(bits: int) -> bytes:
        """Return an RGB TIFF with a separate plane for each colour."""
        tags = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2)]
        tags += [(273, 4, 3, 146), (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 3, 158), (284, 3, 1, 2)]
        size = 4 * bits // 8
        entries = b"".join(
            tag.to_bytes(2, "little")
            + kind.to_bytes(2, "little")
            + n.to_bytes(4, "little")
            + value.to_bytes(4, "little")
            for tag, kind, n, value in tags
        )
        head = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4)
        head += bits.to_bytes(2, "little") * 3
        head = head.ljust(146, b"\0")
        starts = b"".join((170 + plane * size).to_bytes(4, "little") for plane in range(3))
        planes = bytes([10] * size + [20] * size + [30] * size)
        return head + starts + size.to_bytes(4, "little") * 3 + planes

    assert to_array(decode(planar(8), "x.tif"), 3)[0, 0].tolist() == [10, 20, 30]
    with pytest.raises(DataError, match="a 16-bit TIFF with each colour in a separate plane; save it"):
        decode(planar(16), "x.tif")


def test_a_jpeg_with_too_many_scans_is_refused_at_once() -> None:
    data, start = jpeg_with_scans(noise(2000, 2000), 1000), time.monotonic()
    with pytest.raises(DataError, match=r"a JPEG with 1,0\d\d scans; the limit for its size is 256"):
        decode(data, "x.jpg")
    assert time.monotonic() - start < 2


def test_the_limit_of_scans_is_lower_for_a_large_jpeg() -> None:
    data = jpeg_with_scans(Image.new("L", (9000, 9000)), 50)
    with pytest.raises(DataError, match=r"a JPEG with 5\d scans; the limit for its size is 53"):
        decode(data, "x.jpg")
    assert decode(jpeg_with_scans(Image.new("L", (200, 200)), 50), "x.jpg").size == (200, 200)


def test_scan_markers_in_a_comment_or_after_the_image_are_not_counted() -> None:
    marks = b"\xff\xda" * 1000
    image = encoded(noise(9, 9), "jpeg", comment=marks) + marks  # as in embedded thumbnails and appended videos
    assert decode(image, "x.jpg").size == (9, 9)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(noise())[:20] + bytes(20), "it looks like a PNG, but its header is damaged"),
        (b"II*\0" + bytes(100), "not a readable image"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC is not supported; save it as PNG or JPEG"),
        (b"<html>", "not in a supported format: PNG, JPEG, WebP, BMP, GIF, TIFF and AVIF"),
    ],
)
def test_the_error_names_the_format_of_the_file(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode(data, "x")


def test_a_tiff_with_an_unsupported_number_type_is_still_called_a_tiff() -> None:
    """The TIFF has 64-bit numbers, for which Pillow has no mode."""
    data = bytearray(tiff(np.zeros((8, 8), "f4")))
    offset = data.index((258).to_bytes(2, "little") + b"\x03\0") + 8
    data[offset] = 64
    with pytest.raises(DataError, match="it looks like a TIFF, but its header is damaged or unsupported"):
        decode(bytes(data), "x.tif")


def test_avif_is_read_if_pillow_supports_it() -> None:
    pytest.importorskip("PIL.AvifImagePlugin")
    if not features.check("avif"):
        pytest.skip("this release of Pillow doesn't support AVIF")
    buffer = io.BytesIO()
    noise(16, 16).save(buffer, "avif")
    assert to_array(decode(buffer.getvalue(), "x.avif"), 3).shape == (16, 16, 3)
