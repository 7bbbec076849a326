"""Archives that can't be read are refused, and files that are not images are ignored."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise, write_folder, write_zip

A = encoded(noise())


def write_part_of_split_zip(root: Path, disk: int, first: int = 0) -> Path:
    """Write a zip that claims to be part `disk` of a split archive, with its first image in part `first`."""
    path = write_zip(root / "set.zip", {f"{index}.png": A for index in range(4)})
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    struct.pack_into("<H", data, end + 4, disk)
    entry = data.index(b"PK\1\2")
    struct.pack_into("<H", data, entry + 34, first)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(("disk", "first"), [(3, 0), (0, 2), (3, 3)])
def test_a_part_of_a_split_archive_is_refused_at_once(tmp_path: Path, disk: int, first: int) -> None:
    with pytest.raises(DataError, match=r"set\.zip: one part of a zip archive that is split over several files"):
        open_path(write_part_of_split_zip(tmp_path, disk, first))


@pytest.mark.parametrize("name", ["set.tar.xz", "set.tgz", "set.tar.gz", "set.7z", "set.rar"])
def test_other_archives_are_refused_with_advice_to_unpack_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"archive")
    with pytest.raises(DataError, match=r"not a folder, a \.zip, .* or IDX file\. Unpack it"):
        open_path(tmp_path / name)


@pytest.mark.parametrize("inner", ["images.zip", "deep/images.tar.gz"])
def test_a_set_with_only_an_archive_inside_is_refused_with_advice_to_unpack_it(tmp_path: Path, inner: str) -> None:
    for path in (write_folder(tmp_path / "set", {inner: b"x"}), write_zip(tmp_path / "set.zip", {inner: b"x"})):
        with pytest.raises(DataError, match=f"contains no images .* It contains the archive {inner}: unpack that"):
            open_path(path)


def test_images_after_a_hundred_unreadable_ones_are_found(tmp_path: Path) -> None:
    files = {f"{index:03d}.png": b"bad" if index < 101 else A for index in range(136)}
    assert open_path(write_folder(tmp_path / "set", files)).info.count == 136


def test_other_files_are_counted_by_extension(tmp_path: Path) -> None:
    files = {f"{index}.heic": b"x" for index in range(3)} | {"a.jpg": A, "b.HEIC": b"x", ".hidden.heic": b"x"}
    assert open_path(write_folder(tmp_path / "one", files)).storage.ignored_files == "4 other files ignored (.heic)"
    more = write_zip(tmp_path / "two.zip", {**files, "readme": b"x", "movie.mov": b"x"})
    assert open_path(more).storage.ignored_files == "6 other files ignored (4 .heic, 1 .mov, 1 without extension)"
    few = write_folder(tmp_path / "few", {"a.jpg": A, "b.raw": b"x"})
    assert open_path(few).storage.ignored_files == "1 other file ignored (.raw)"
    none = write_folder(tmp_path / "none", {"a.jfif": encoded(noise(), "jpeg")})
    assert open_path(none).storage.ignored_files is None
