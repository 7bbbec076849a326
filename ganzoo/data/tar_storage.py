"""Images in .tar files, as written by webdataset: the files of a sample have the same name up to the first dot.

A sample `000017.jpg` may have a label in `000017.cls`, or under `label` or `cls` in `000017.json`: a whole number,
which is its domain. What .json files say is annotations. Other files are ignored. The positions of all images are read
once, and images at random from then on.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganzoo.data.abstract_storage import Storage, check_size
from ganzoo.data.annotations import is_annotation
from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.labels import domains_of, labels_of_values
from ganzoo.data.layout import describe_ignored
from ganzoo.data.splits import split_files
from ganzoo.errors import DataError, format_count, printable, reason
from ganzoo.files import open_regular
from ganzoo.progress_bars import progress_bar

LABEL_KEYS = ("label", "cls")  # of .json files
MAX_LABEL_BYTES = 1 << 20  # of a .cls or .json file
WHOLE_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


class LabelFile(NamedTuple):
    """A .cls or .json file: its extension, where its bytes begin, and how many there are."""

    extension: str
    start: int
    size: int


class Member(NamedTuple):
    """An image: its shard, its name there, where its bytes begin, how many there are, its label if it has one, and the
    .cls and .json files of its sample."""

    shard: Path
    name: str
    start: int
    size: int
    label: int | None = None
    label_files: Sequence[LabelFile] = ()


class TarStorage(Storage):
    """Images in one .tar file, or in all of a folder. In a folder, those named like `val-0000.tar` beside others
    are for validation."""

    def __init__(self, path: Path, labels: str | None = None) -> None:
        """If `labels` are given, the images have none yet."""
        self.path = path
        training, self._held_out = split_files(find_tars(path)) if path.is_dir() else ([path], [])
        others = list[str]()
        self._use(training, _read_all(training, others, labels is None))
        self.ignored_files = describe_ignored(others)
        values = sorted({member.label for member in self._members.values() if member.label is not None})
        missing = [key for key, member in self._members.items() if values and member.label is None]
        if missing:
            raise DataError(
                f"{path}: {format_count(len(missing), 'image')} without a label, such as {printable(missing[0])}; "
                "others have one in a .cls or .json file. Add what is missing, or use --labels none."
            )
        if values:
            self.domains = domains_of(values, str(path))
            self.labels = self._labels_among(self.domains)
            first = _read_annotations(self._members[self.keys[0]])
            self.labelled_by = next(name for name in LABEL_KEYS if name in first)
        self.labels_note = "labels from .cls or .json files" if values else "no labels"
        self.notes = [f"{format_count(len(training), 'shard')} of webdataset, {self.labels_note}"]
        several = Counter(Counter((each.shard, _split(each.name)[0]) for each in self._members.values()).values())
        if samples := sum(count for images, count in several.items() if images > 1):
            self.notes.append(f"{format_count(samples, 'sample')} with several images, all of which are used")

    def _use(self, shards: Sequence[Path], members: Iterable[Member]) -> None:
        self._shards = shards
        several = self.path.is_dir()
        self._members = {f"{each.shard.name}/{each.name}" if several else each.name: each for each in members}
        self.keys = list(self._members)

    def _labels_among(self, domains: Sequence[str]) -> np.ndarray:
        values = [member.label for member in self._members.values()]
        return labels_of_values(values, domains, lambda index: f"{self.path}: {printable(self.keys[index])}")

    def annotations(self) -> dict[str, list[Any]]:
        samples = [_read_annotations(member) for member in self._members.values()]
        names = dict.fromkeys(name for sample in samples for name in sample)
        found = {name: [sample.get(name) for sample in samples] for name in names}
        return {name: values for name, values in found.items() if all(map(is_annotation, values))}

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
        other._use(self._held_out, _read_all(self._held_out, [], bool(self.domains)))
        if not other.keys or (self.domains and all(member.label is None for member in other._members.values())):
            return None  # such as the images of a test whose labels are secret
        if self.domains:
            other.labels = other._labels_among(self.domains)
        return other

    def _select_size(self, size: int | None) -> None:
        raise AssertionError("a .tar file has one size")


def find_tars(folder: Path) -> list[Path]:
    """Return the .tar files directly in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".tar" and not is_hidden(path.name))


def _read_all(shards: Sequence[Path], others: list[str], labelled: bool) -> Iterator[Member]:
    """Yield the images of all shards, with labels if `labelled`, and add the names of other files to `others`."""
    for shard in progress_bar(shards, desc="reading the shards", unit="shard", leave=False, disable=None, delay=1):
        yield from _read_shard(shard, others, labelled)


def _read_shard(shard: Path, others: list[str], labelled: bool) -> Iterator[Member]:
    images, labels, label_files = list[Member](), dict[str, int](), dict[str, list[LabelFile]]()
    try:
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                stem, extension = _split(info.name)
                if not info.isreg() or is_hidden(stem.rpartition("/")[2]):
                    continue
                if is_image(info.name):
                    images.append(Member(shard, info.name, info.offset_data, info.size))
                elif extension in ("cls", "json"):
                    check_size(info.size, MAX_LABEL_BYTES)
                    label_files.setdefault(stem, []).append(LabelFile(extension, info.offset_data, info.size))
                    label = _label(shard, archive, info, extension) if labelled else None
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
    for member in images:
        stem = _split(member.name)[0]
        yield member._replace(label=labels.get(stem), label_files=label_files.get(stem, ()))


def _split(name: str) -> tuple[str, str]:
    """Split a name at the first dot of its last part: what the files of a sample share, and what differs."""
    folder, slash, last = name.rpartition("/")
    stem, _, extension = last.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


def _label(shard: Path, archive: tarfile.TarFile, info: tarfile.TarInfo, extension: str) -> int | None:
    """Return the label in a .cls or .json file; None if a .json file has none. DataError if it is no whole number."""
    file = archive.extractfile(info)
    assert file is not None
    content = file.read()
    where = f"{shard}/{printable(info.name)}"
    found: Any = content.decode(errors="replace").strip()
    name = extension
    if extension == "json":
        entries = _entries(where, content)
        if not (names := [key for key in LABEL_KEYS if key in entries]):
            return None
        name = names[0]
        found = str(entries[name]) if type(entries[name]) is int else entries[name]
    if not (isinstance(found, str) and WHOLE_NUMBER.fullmatch(found)):
        raise DataError(
            f"{where}: the label is {printable(repr(found))[:60]}, not a whole number. To use it as it is, choose "
            f"--labels {name}; to do without labels, --labels none."
        )
    return int(found)


def _read_annotations(member: Member) -> dict[str, Any]:
    """Return what the .cls and .json files of an image's sample say, by name."""
    found = dict[str, Any]()
    for file in member.label_files:
        where = f"{member.shard}/{printable(_split(member.name)[0])}.{file.extension}"
        try:
            with open_regular(member.shard) as shard:
                shard.seek(file.start)
                content = shard.read(file.size)
        except OSError as error:
            raise DataError(f"{where}: can't be read ({reason(error)}).") from error
        if file.extension == "cls":
            text = content.decode(errors="replace").strip()
            found["cls"] = int(text) if WHOLE_NUMBER.fullmatch(text) else text
        else:
            found |= _entries(where, content)
    return found


def _entries(where: str, content: bytes) -> dict[str, Any]:
    """Return the entries of a .json file; none if it has something else."""
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({printable(str(error))[:80]}).") from error
    return entries if isinstance(entries, dict) else {}
