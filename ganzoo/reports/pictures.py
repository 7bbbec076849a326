"""Sheets of a run, encoded for a page."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ganzoo.reports.thinning import thin_indices

MAX_SHEETS = 33  # on a page, of all kinds together; at least three of each kind
MAX_BYTES = 2 << 20  # of all sheets, before they become text, which is a third longer
MAX_KINDS = 8
MAX_SIDE = 1280  # px; larger sheets are scaled down
MIN_SIDE = 80  # px; sheets are not scaled down below this
MAX_FILE = 64 << 20  # bytes of a sheet that is read
QUALITY = 88  # of WebP
_SHEET = re.compile(r"samples-(\d{1,18})(.*)\.png")


@dataclass(frozen=True)
class Picture:
    """An encoded picture, and the real images (kimg) that the networks had seen."""

    kimg: float
    data: bytes
    mime: str

    @property
    def url(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Sheets:
    """The sheets of one kind, oldest first, of `count` in the folder. `name` is '' for the samples."""

    name: str
    pictures: tuple[Picture, ...]
    count: int


@dataclass
class PictureCache:
    """Encodes sheets, and keeps those that the page has now: at the next writing, most of them are the same."""

    _known: dict[Path, tuple[tuple[int, int], Picture | None]] = field(default_factory=dict)

    def reals(self, folder: Path) -> Picture | None:
        """Return the sheet of real images; None if it is missing or damaged."""
        return self._encoded(folder / "reals.png", 0)

    def sheets(self, folder: Path) -> list[Sheets]:
        """Return the sheets in a run folder by kind: all, or the first, the newest and some between, evenly."""
        kinds = find_sheets(folder)
        limit = min(self._limit, max(3, MAX_SHEETS // max(len(kinds), 1)))
        while True:
            found = [self._kind(name, paths, limit) for name, paths in kinds.items()]
            size = sum(len(picture.data) for sheets in found for picture in sheets.pictures)
            if size <= MAX_BYTES or limit == 2:
                break
            limit = self._limit = max(2, limit // 2)
        return [sheets for sheets in found if sheets.pictures]

    def forget_others(self, folder: Path) -> None:
        """Forget pictures that are no longer on the page."""
        used = {folder / "reals.png", *self._used}
        self._known = {path: known for path, known in self._known.items() if path in used}

    _used: set[Path] = field(default_factory=set)
    _limit: int = MAX_SHEETS  # that MAX_BYTES allowed the last time, so that no more sheets are encoded in vain

    def _kind(self, name: str, paths: list[tuple[int, Path]], limit: int) -> Sheets:
        chosen = thin_indices(len(paths), limit)
        pictures = [self._encoded(path, images) for images, path in (paths[index] for index in chosen)]
        self._used = {path for path in self._used if path not in {path for _, path in paths}}
        self._used.update(paths[index][1] for index in chosen)
        return Sheets(name, tuple(picture for picture in pictures if picture is not None), len(paths))

    def _encoded(self, path: Path, images: int) -> Picture | None:
        try:
            status = path.stat()
        except OSError:
            return None
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._known or self._known[path][0] != version:
            self._known[path] = (version, encode(path, images))
        return self._known[path][1]


def find_sheets(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """Return the paths of the sheets by kind, each with its number of images, oldest first."""
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.glob("samples-*.png"):
        if (match := _SHEET.fullmatch(path.name)) and path.is_file():
            kinds.setdefault(match[2].lstrip("-"), []).append((int(match[1]), path))
    return {name: sorted(kinds[name]) for name in sorted(kinds)[:MAX_KINDS]}


def newest_sheet(folder: Path, limit: int) -> Picture | None:
    """Return the newest sheet of a run, scaled down to at most `limit` bytes. None if there is no such sheet."""
    for paths in find_sheets(folder).values():
        images, path = paths[-1]
        side = MAX_SIDE
        while side >= MIN_SIDE and (picture := encode(path, images, side)) is not None:
            if len(picture.data) <= limit:
                return picture
            side //= 2
    return None


def encode(path: Path, images: int, side: int = MAX_SIDE) -> Picture | None:
    """Encode a PNG as WebP if that is smaller, scaled down to `side` px. None if it can't be read."""
    try:
        if path.stat().st_size > MAX_FILE:
            return None
        original = path.read_bytes()
        with Image.open(io.BytesIO(original), formats=["PNG"]) as opened:
            opened.load()
            scaled = max(opened.size) > side
            if scaled:
                opened.thumbnail((side, side))
            output = io.BytesIO()
            opened.save(output, "webp", quality=QUALITY, method=0)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None
    smaller = scaled or output.tell() < len(original)
    return Picture(images / 1000, *((output.getvalue(), "image/webp") if smaller else (original, "image/png")))
