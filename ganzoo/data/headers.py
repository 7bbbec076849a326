"""Checks of an image file's header before any pixel is decoded. They refuse images that would take unbounded time or
memory, and those whose values Pillow would decode to wrong colours."""

from __future__ import annotations

import re
import struct

from PIL import Image

from ganzoo.errors import reason

# TIFF tags: offsets of strips and tiles, size of a tile; bits per sample, planar configuration, sample format.
STRIPS, TILES, TILE_WIDTH, TILE_LENGTH = 0x0111, 0x0144, 0x0142, 0x0143
BITS, PLANES, NUMBERS = 0x0102, 0x011C, 0x0153
NUMBER = re.compile(r"decoder error -?\d+")
MOST_PARTS = 1 << 19  # strips or tiles; as tiles of 16 x 16 px, more than Pillow's largest image has
SEPARATE = 2  # planar configuration: one plane per channel
KINDS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}  # sample formats other than unsigned integers

SOI, EOI, SOS = b"\xff\xd8", 0xD9, 0xDA
BARE = {
    0x01,
    *range(0xD0, 0xD9),
}  # JPEG markers without a length field
# Any marker except restarts and stuffed zeros, the only ones that occur in compressed data.
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# Decoding each scan of a progressive JPEG takes a pass over the whole image, at about 10^9 pixels per second. All scans
# together may have MOST_SCANNED pixels; a scan counts as at least LEAST_SCANNED.
MOST_SCANNED, LEAST_SCANNED = 1 << 32, 1 << 24

STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    SOI: "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"II\0*": "TIFF",
    b"MM*\0": "TIFF",
}
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC"}
READ = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "AVIF")


def kind_of(data: bytes) -> str | None:
    """Return the format of a file by its first bytes; None if it is unknown. Not all of these formats are supported."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12])
    return next((kind for start, kind in STARTS.items() if data.startswith(start)), None)


def unidentified(data: bytes) -> str:
    """Explain why Pillow can't identify a file as an image."""
    kind = kind_of(data)
    if kind == "AVIF":
        return "an AVIF, which is damaged, or this Pillow reads none: `pip install --upgrade Pillow`"
    if kind in READ:
        return f"it begins as a {kind}, but its header is damaged, or of a kind that isn't read; save it anew"
    if kind:
        return f"a {kind}, which isn't read; save it as PNG or JPEG"
    return f"its first bytes are of no format that is read: {', '.join(READ[:-1])} and {READ[-1]}"


def refusal(image: Image.Image, data: bytes) -> str | None:
    """Return why an image is refused; None if it is accepted."""
    for width, height in (image.size, _tile(image)):
        # Pillow only warns of images up to twice this size, and warnings can't be caught per thread.
        if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
            most = f"{Image.MAX_IMAGE_PIXELS:,} pixels that Pillow takes for safe"
            return f"{width} x {height} px is more than the {most}"
    if data.startswith(SOI):
        scans, room = _scans(data), MOST_SCANNED // max(image.width * image.height, LEAST_SCANNED)
        if scans > room:
            return f"a JPEG in {scans:,} scans, where {room:,} are the most that is read of one so large"
    return _unfit_numbers(image) if image.format == "TIFF" else None


def _scans(data: bytes) -> int:
    """Return the number of scans in a JPEG."""
    count, place = 0, len(SOI)
    while found := MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == EOI:
            break
        if marker not in BARE:
            count += marker == SOS
            place += int.from_bytes(data[place : place + 2], "big")
    return count


def _unfit_numbers(image: Image.Image) -> str | None:
    """Return why a TIFF's values can't be read as 8-bit or 16-bit intensities; None if they can."""
    tags = getattr(image, "tag_v2", {})
    bits = max(_numbers(tags.get(BITS)), default=1)
    kind = next((KINDS[number] for number in _numbers(tags.get(NUMBERS)) if number in KINDS), None)
    remedy = "save it with 8 or 16 bits"
    if kind or bits > 16:
        return f"a TIFF of {kind or f'{bits}-bit'} numbers, of which nothing says what is black or white; {remedy}"
    if bits > 8 and tags.get(PLANES) == SEPARATE and len(_numbers(tags.get(BITS))) > 1:
        return f"a TIFF of {bits} bits with each colour in a plane of its own; {remedy} in one plane"
    return None


def _numbers(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(each for each in values if isinstance(each, int))


def _tile(image: Image.Image) -> tuple[int, int]:
    """Return a TIFF's tile size; (0, 0) if it has no tiles. A tile is decoded whole, however small the image."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(TILE_WIDTH), tags.get(TILE_LENGTH)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def said(error: Exception) -> str:
    """Return the message of a Pillow error, with an explanation in place of a mere libtiff error number."""
    return "its pixels are damaged or cut off" if NUMBER.fullmatch(str(error)) else reason(error)


def parts(data: bytes) -> int:
    """Return the number of strips or tiles that a TIFF declares, 0 for other formats.

    The directory is parsed here because Pillow can't be asked before it has made an object for each: opening a TIFF of
    a million strips takes it two seconds and 300 MB.
    """
    if data[:2] not in (b"II", b"MM"):
        return 0
    kinds = (False, True) if 43 in data[2:4] else (False,)  # Pillow releases differ in how they recognise a BigTIFF
    return max(_parts_of("<" if data[:2] == b"II" else ">", big, data) for big in kinds)


def _parts_of(order: str, big: bool, data: bytes) -> int:
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
        start += 8 if big else 2
        if count > 1 << 16:  # more entries than there can be tags
            return int(count)
        found = (entry.unpack_from(data, start + index * entry.size) for index in range(count))
        return max((number for tag, _, number, _ in found if tag in (STRIPS, TILES)), default=0)
    except (struct.error, OverflowError):  # truncated; Pillow will report it
        return 0
