"""Images in .tar files, as written by webdataset: the files of a sample have the same name up to the first dot.

A sample `000017.jpg` may have a label in `000017.cls`, or under `label` or `cls` in `000017.json`: a whole number,
which is its domain. Other files are ignored. The positions of all images are read once, and images at random from then
on.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ganzoo.data.abstract_storage import Storage, check_size
from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.labels import domains_of, labels_of_values
from ganzoo.data.layout import describe_ignored
from ganzoo.data.splits import split_files
from ganzoo.errors import DataError, format_count, printable, reason
from ganzoo.files import open_regular

LABEL_KEYS = ("label", "cls")  # of .json files
MAX_LABEL_BYTES = 1 << 20  # of a .cls or .json file


class Member(NamedTuple):
    """An image: its shard, its name there, where its bytes begin, how many there are, and its label if it has one."""

    shard: Path
    name: str
    start: int
    size: int
    label: int | None


class TarStorage(Storage):
    """Images in one .tar file, or in all of a folder. In a folder, those named like `val-0000.tar` beside others
    are for validation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        training, self._held_out = split_files(find_tars(path)) if path.is_dir() else ([path], [])
        others = list[str]()
        self._use(training, _read_all(training, others))
        self.ignored_files = describe_ignored(others)
        labels = sorted({member.label for member in self._members.values() if member.label is not None})
        missing = [key for key, member in self._members.items() if labels and member.label is None]
        if missing:
            raise DataError(
                f"{path}: {format_count(len(missing), 'image')} without a label, such as {printable(missing[0])}; "
                "others have one in a .cls or .json file."
            )
        if labels:
            self.domains = domains_of(labels, str(path))
            self.labels = self._labels_among(self.domains)
        origin = "labels from .cls or .json files" if labels else "no labels"
        self.notes = [f"{format_count(len(training), 'shard')} of webdataset, {origin}"]

    def _use(self, shards: Sequence[Path], members: Iterable[Member]) -> None:
        self._shards = shards
        several = self.path.is_dir()
        self._members = {f"{each.shard.name}/{each.name}" if several else each.name: each for each in members}
        self.keys = list(self._members)

    def _labels_among(self, domains: Sequence[str]) -> np.ndarray:
        values = [member.label for member in self._members.values()]
        return labels_of_values(values, domains, lambda index: f"{self.path}: {printable(self.keys[index])}")

    def files(self) -> Iterable[Path]:
        return self._shards

    def read(self, key: str) -> bytes:
        member = self._members[key]
        check_size(member.size)
        with open_regular(member.shard) as file:
            file.seek(member.start)
            data = file.read(member.size)
        if len(data) < member.size:
            raise ValueError("the .tar file is cut off here")
        return data

    def validation(self) -> Storage | None:
        if not self._held_out:
            return None
        other = self._shallow_copy()
        other._held_out, other.notes, other.ignored_files = [], (), None
        other._use(self._held_out, _read_all(self._held_out, []))
        if self.domains:
            other.labels = other._labels_among(self.domains)
        return other

    def _select_size(self, size: int | None) -> None:
        raise AssertionError("a .tar file has one size")


def find_tars(folder: Path) -> list[Path]:
    """Return the .tar files directly in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".tar" and not is_hidden(path.name))


def _read_all(shards: Sequence[Path], others: list[str]) -> Iterator[Member]:
    """Yield the images of all shards, and add the names of other files to `others`."""
    for shard in tqdm(shards, desc="reading the shards", unit="shard", leave=False, disable=None, delay=1):
        yield from _read_shard(shard, others)


def _read_shard(shard: Path, others: list[str]) -> Iterator[Member]:
    images, labels = list[Member](), dict[str, int]()
    try:
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                stem, extension = _split(info.name)
                if not info.isreg() or is_hidden(stem.rpartition("/")[2]):
                    continue
                if is_image(info.name):
                    images.append(Member(shard, info.name, info.offset_data, info.size, None))
                elif extension in ("cls", "json"):
                    label = _label(shard, archive, info, extension)
                    if label is not None:
                        labels[stem] = label
                else:
                    others.append(info.name)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        if not images:
            raise DataError(f"{shard}: not an uncompressed .tar file ({reason(error)}). Unpack it.") from error
        raise DataError(
            f"{shard}: a damaged .tar file: after {format_count(len(images), 'image')}, {reason(error)}."
        ) from error
    yield from (member._replace(label=labels.get(_split(member.name)[0])) for member in images)


def _split(name: str) -> tuple[str, str]:
    """Split a name at the first dot of its last part: what the files of a sample share, and what differs."""
    folder, slash, last = name.rpartition("/")
    stem, _, extension = last.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


def _label(shard: Path, archive: tarfile.TarFile, info: tarfile.TarInfo, extension: str) -> int | None:
    """Return the label in a .cls or .json file; None if a .json file has none. DataError if it is no whole number."""
    check_size(info.size, MAX_LABEL_BYTES)
    file = archive.extractfile(info)
    assert file is not None
    content = file.read()
    where = f"{shard}/{printable(info.name)}"
    found: Any = content.decode(errors="replace").strip()
    if extension == "json":
        try:
            entries = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({printable(str(error))[:80]}).") from error
        values = [entries[key] for key in LABEL_KEYS if key in entries] if isinstance(entries, dict) else []
        if not values:
            return None
        found = str(values[0]) if type(values[0]) is int else values[0]
    if not (isinstance(found, str) and re.fullmatch(r"-?\d{1,18}", found, re.ASCII)):
        raise DataError(f"{where}: the label is {printable(repr(found))[:60]}, not a whole number.")
    return int(found)
