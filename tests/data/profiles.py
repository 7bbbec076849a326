"""ICC profiles, generated for the tests."""

from __future__ import annotations

import struct

from PIL import ImageCms


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped() -> bytes:
    """Return an RGB profile with red and green exchanged."""
    return srgb().replace(b"rXYZ", b"hold").replace(b"gXYZ", b"rXYZ").replace(b"hold", b"gXYZ")


def printer() -> bytes:
    """Return a CMYK profile in which every ink is black."""
    header = struct.pack(">IIHH4s4s4s", 0, 0, 0x0210, 0, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D) + bytes(48)
    identity_curve = bytes(range(256))
    corners = bytes([255, 128, 128]) + bytes([0, 128, 128]) * 15  # Lab colours of the CMYK cube: white, then black
    table = struct.pack(">4sI4B9i", b"mft1", 0, 4, 3, 2, 0, *(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x10000))
    table += identity_curve * 4 + corners + identity_curve * 3
    table += bytes(-len(table) % 4)
    body = struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table
    return struct.pack(">I", 128 + len(body)) + header[4:] + body
