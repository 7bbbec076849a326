"""Tests of uploads that attack whoever decodes them."""

from __future__ import annotations

import struct
import zlib

import pytest

from ganzoo import DataInfo
from ganzoo.errors import DataError
from ganzoo.explorer.images import Images, TooLargeError


def images(fit: str = "crop") -> Images:
    return Images(DataInfo("fake", 3, 4, 3, fit=fit), None)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of one colour, with a thousandth as many bytes as pixels or fewer."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compressobj()
    packed = b"".join([*(rows.compress(bytes(width + 1)) for _ in range(height)), rows.flush()])
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused() -> None:
    content = bomb(9_000, 9_000)
    assert len(content) < 100_000
    with pytest.raises(TooLargeError, match="9000 x 9000 px; the limit is 64,000,000 pixels"):
        images().add(content, "x.png")
    size = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    with pytest.raises(DataError, match="not a readable image"):
        images().add(content[:16] + size + content[24:], "x.png")


def test_text_that_unpacks_to_many_megabytes_is_refused() -> None:
    packed = zlib.compress(bytes(64 << 20), 9)
    small = bomb(2, 2)
    with pytest.raises(DataError, match="not a readable image"):
        images().add(small[:33] + chunk(b"zTXt", b"Comment\0\0" + packed) + small[33:], "x.png")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 2_000_000)])
def test_an_image_of_one_row_or_column_is_fitted(fit: str, size: tuple[int, int]) -> None:
    found = images(fit)
    fitted = found.get(found.add(bomb(*size), "x.png"))
    assert fitted.pixels.shape == (4, 4, 3)
    assert fitted.without_padding(fitted.pixels).size > 0
