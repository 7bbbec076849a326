"""Checks of an image file's header before any pixel is decoded. They refuse images that would take unbounded time or
memory, and those whose values Pillow would decode to wrong colours."""

from __future__ import annotations

import re
import struct

from PIL import Image

from ganzoo.errors import reason

# TIFF tags: offsets of strips and tiles, size of a tile; bits per sample, planar configuration, sample format.
STRIP_OFFSETS, TILE_OFFSETS, TILE_WIDTH, TILE_LENGTH = 0x0111, 0x0144, 0x0142, 0x0143
BITS_PER_SAMPLE, PLANAR_CONFIGURATION, SAMPLE_FORMAT = 0x0102, 0x011C, 0x0153
DECODER_ERROR = re.compile(r"decoder error -?\d+")
MAX_TILES = 1 << 19  # strips or tiles; the largest image that Pillow opens has fewer tiles of 16 x 16 px
PLANAR_SEPARATE = 2  # planar configuration: one plane per channel
SAMPLE_KINDS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}  # formats other than unsigned integers

SOI, EOI, SOS = b"\xff\xd8", 0xD9, 0xDA
MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # of a JPEG
# Any marker except restarts and stuffed zeros, the only ones that occur in compressed data.
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# Decoding each scan of a progressive JPEG takes a pass over the whole image, at about 10^9 pixels per second. All scans
# together may have MAX_SCAN_PIXELS pixels; a scan counts as at least MIN_SCAN_PIXELS.
MAX_SCAN_PIXELS, MIN_SCAN_PIXELS = 1 << 32, 1 << 24

SIGNATURES = {
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
FTYP_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC"}
SUPPORTED_FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "AVIF")


def sniff_format(data: bytes) -> str | None:
    """Return the format of a file by its first bytes; None if it is unknown. Not all of these formats are supported."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return FTYP_BRANDS.get(data[8:12])
    return next((kind for start, kind in SIGNATURES.items() if data.startswith(start)), None)


def explain_unidentified(data: bytes) -> str:
    """Explain why Pillow can't identify a file as an image."""
    kind = sniff_format(data)
    if kind == "AVIF":
        return "a damaged AVIF, or this version of Pillow doesn't support AVIF: `pip install --upgrade Pillow`"
    if kind in SUPPORTED_FORMATS:
        return f"it looks like a {kind}, but its header is damaged or unsupported; save it again"
    if kind:
        return f"{kind} is not supported; save it as PNG or JPEG"
    return f"not in a supported format: {list_supported_formats()}"


def list_supported_formats() -> str:
    """List the supported formats in words."""
    return f"{', '.join(SUPPORTED_FORMATS[:-1])} and {SUPPORTED_FORMATS[-1]}"


def reason_refused(image: Image.Image, data: bytes) -> str | None:
    """Return why an image is refused; None if it is accepted."""
    for width, height in (image.size, _tile_size(image)):
        # Pillow only warns of images up to twice this size, and warnings can't be caught per thread.
        if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
            return f"{width} x {height} px; the limit is {Image.MAX_IMAGE_PIXELS:,} pixels"
    if data.startswith(SOI):
        scans, limit = _count_scans(data), MAX_SCAN_PIXELS // max(image.width * image.height, MIN_SCAN_PIXELS)
        if scans > limit:
            return f"a JPEG with {scans:,} scans; the limit for its size is {limit:,}"
    return _unsupported_samples(image) if image.format == "TIFF" else None


def _count_scans(data: bytes) -> int:
    """Return the number of scans in a JPEG."""
    count, place = 0, len(SOI)
    while found := MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == EOI:
            break
        if marker not in MARKERS_WITHOUT_LENGTH:
            count += marker == SOS
            place += int.from_bytes(data[place : place + 2], "big")
    return count


def _unsupported_samples(image: Image.Image) -> str | None:
    """Return why a TIFF's values can't be read as 8-bit or 16-bit intensities; None if they can."""
    tags = getattr(image, "tag_v2", {})
    bits = max(_integers(tags.get(BITS_PER_SAMPLE)), default=1)
    kind = next((SAMPLE_KINDS[number] for number in _integers(tags.get(SAMPLE_FORMAT)) if number in SAMPLE_KINDS), None)
    remedy = "save it with 8 or 16 bits"
    if kind or bits > 16:
        return f"a TIFF of {kind or f'{bits}-bit'} numbers, in which black and white are undefined; {remedy}"
    if bits > 8 and tags.get(PLANAR_CONFIGURATION) == PLANAR_SEPARATE and len(_integers(tags.get(BITS_PER_SAMPLE))) > 1:
        return f"a {bits}-bit TIFF with each colour in a separate plane; save it with 8 bits or in one plane"
    return None


def _integers(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(each for each in values if isinstance(each, int))


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Return a TIFF's tile size; (0, 0) if it has no tiles. A tile is decoded whole, however small the image."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(TILE_WIDTH), tags.get(TILE_LENGTH)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def error_message(error: Exception) -> str:
    """Return the message of a Pillow error, with an explanation in place of a mere libtiff error number."""
    return "its pixels are damaged or cut off" if DECODER_ERROR.fullmatch(str(error)) else reason(error)


def tile_count(data: bytes) -> int:
    """Return the number of strips or tiles that a TIFF declares, 0 for other formats.

    Parses the directory itself, because Pillow creates an object for each strip when it opens a TIFF: a million strips
    take two seconds and 300 MB.
    """
    if data[:2] not in (b"II", b"MM"):
        return 0
    kinds = (False, True) if 43 in data[2:4] else (False,)  # Pillow releases differ in how they recognise a BigTIFF
    return max(_count_tiles("<" if data[:2] == b"II" else ">", big, data) for big in kinds)


def _count_tiles(order: str, big: bool, data: bytes) -> int:
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
        start += 8 if big else 2
        if count > 1 << 16:  # more entries than there can be tags
            return int(count)
        found = (entry.unpack_from(data, start + index * entry.size) for index in range(count))
        return max((number for tag, _, number, _ in found if tag in (STRIP_OFFSETS, TILE_OFFSETS)), default=0)
    except (struct.error, OverflowError):  # truncated; Pillow will report it
        return 0
