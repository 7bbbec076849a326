"""Malicious files: too large, endless, or with names that point elsewhere."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest

from ganzoo.data.abstract_storage import MAX_FILE_BYTES
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise, write_folder, write_zip

A, B = (encoded(noise(seed=seed)) for seed in range(2))
TOO_LARGE = r"can't be read \(268,435,457 bytes; the limit is 268,435,456"


def write_zip_of_two(path: Path, name: str, data: bytes, method: int) -> Path:
    """Write a zip archive with an image and a file compressed with `method`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", A)
        archive.writestr(name, data, compress_type=method)
    return path


def patch_directory(path: Path, name: str, form: str, offset: int, value: int, header: int | None = None) -> None:
    """Change a field of a file's entry in the archive's directory and, at offset `header`, of its local header."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(name.encode()) - 46
    struct.pack_into(form, data, entry + offset, value)
    if header is not None:
        struct.pack_into(form, data, data.index(name.encode()) - 30 + header, value)
    path.write_bytes(data)


def test_a_file_over_the_limit_is_named_with_its_size(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"a.png": A, "b.png": b""})
    os.truncate(root / "b.png", MAX_FILE_BYTES + 1)  # sparse
    with pytest.raises(DataError, match=rf"set/b\.png: {TOO_LARGE}"):
        open_path(root).load(1)


def test_an_entry_over_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    path = write_zip_of_two(tmp_path / "set.zip", "b.png", B, zipfile.ZIP_DEFLATED)
    patch_directory(path, "b.png", "<I", 24, MAX_FILE_BYTES + 1)
    with pytest.raises(DataError, match=rf"set\.zip/b\.png: {TOO_LARGE}"):
        open_path(path).load(1)


def test_no_more_is_unpacked_than_the_directory_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip_of_two(tmp_path / "set.zip", "b.png", bytes(50 << 20), zipfile.ZIP_DEFLATED)
    patch_directory(path, "b.png", "<I", 24, 100, header=22)
    unpacked = []

    class Recorder:
        """Wraps a decompressor of `zipfile` and records how many bytes it returns."""

        def __init__(self, decompressor: object) -> None:
            self._decompressor = decompressor

        def __getattr__(self, name: str) -> object:
            return getattr(self._decompressor, name)

        def decompress(self, *arguments: object) -> bytes:
            data: bytes = self._decompressor.decompress(*arguments)  # type: ignore[attr-defined]
            unpacked.append(len(data))
            return data

    original = zipfile._get_decompressor  # type: ignore[attr-defined]
    monkeypatch.setattr(zipfile, "_get_decompressor", lambda kind: Recorder(original(kind)) if kind else None)
    with pytest.raises(DataError, match=r"b\.png: can't be read \(Bad CRC"):
        open_path(path).load(1)
    assert 100 <= sum(unpacked) < 1 << 16


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "BZIP2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_a_compression_method_without_a_size_limit_is_refused(tmp_path: Path, method: int, name: str) -> None:
    path = write_zip_of_two(tmp_path / "set.zip", "b.png", bytes(1 << 20), method)
    with pytest.raises(
        DataError, match=rf"with 1 of its 2 images compressed with {name}, which ganzoo can't unpack\. Unpack it"
    ):
        open_path(path)


def test_an_unknown_compression_method_is_named(tmp_path: Path) -> None:
    path = write_zip_of_two(tmp_path / "set.zip", "b.png", B, zipfile.ZIP_STORED)
    patch_directory(path, "b.png", "<H", 10, 99, header=8)
    with pytest.raises(DataError, match=r"1 of its 2 images compressed with method 99, which ganzoo can't unpack"):
        open_path(path)


def test_a_directory_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "set.zip", {f"{index}.png": A for index in range(50)})
    monkeypatch.setattr("ganzoo.data.zip_storage.MAX_FILE_BYTES", 1000)
    with pytest.raises(
        DataError, match=r"set\.zip: the directory of this zip archive has [\d,]+ bytes; the limit is 1,000"
    ):
        open_path(path)


def test_extremely_nested_folders_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {f"{index}/" + "a/" * 32_000 + "b.png": A for index in range(2)})
    with pytest.raises(DataError, match=r"set\.zip: the folders in this zip archive are nested too deeply"):
        open_path(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_point_outside_the_archive_are_just_names(tmp_path: Path) -> None:
    names = [
        "../x.png",
        "/tmp/x.png",
        "a/../../x.png",
        "C:\\x.png",
        "x" * 60_000 + ".png",
        "n\0.png",
        "//x.png",
        "link.png",
    ]
    path = tmp_path / "in" / "set.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, A)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    data = open_path(path)
    loaded = 0
    for index in range(len(data)):
        try:
            loaded += data.load(index)[0].shape == (8, 6, 3)
        except DataError as error:
            # A link's content is the path of its target, which isn't followed.
            assert "link.png: not a readable image" in str(error)
    assert loaded == len(data) - 1 == 4  # the others have a part that begins with a dot, or don't end in .png
    assert [found.name for found in tmp_path.rglob("*")] == ["in", "set.zip"]


def test_many_entries_are_read(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"{index:05d}.png"), A if not index % 4000 else b"")
    data = open_path(path)
    assert len(data) == 20_000
    assert data.load(4000)[0].shape == (8, 6, 3)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    for name in ("set.zip", "set.lmdb"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="not a regular file"):
            open_path(tmp_path / name)


@pytest.mark.parametrize("damage", range(60))
def test_a_damaged_archive_gives_images_or_data_errors(tmp_path: Path, damage: int) -> None:
    path = write_zip(tmp_path / "set.zip", {"a.png": A, "b/c.png": B, "d.png": A})
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02")
    data[start + damage * (len(data) - start) // 60] ^= 1 << damage % 8
    path.write_bytes(data)
    try:
        opened = open_path(path)
    except DataError:
        return
    for index in range(len(opened)):
        try:
            assert opened.load(index)[0].size
        except DataError as error:
            assert str(path) in str(error)
