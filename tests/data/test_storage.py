"""Data sets in folders and zip archives, and paths that can't be opened."""

from __future__ import annotations

import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.folder_storage import images_below
from ganzoo.data.storage import StoredImages, open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise, write_folder, write_zip

A, B, C = (encoded(noise(seed=seed)) for seed in range(3))
TEXT = b"no image"

WriteSet = Callable[[dict[str, bytes]], Path]


@pytest.fixture(params=["folder", "zip"])
def write_set(request: pytest.FixtureRequest, tmp_path: Path) -> WriteSet:
    """Return a function that writes files to a folder or a zip archive: both must behave alike."""
    if request.param == "zip":
        return lambda files: write_zip(tmp_path / "set.zip", files)
    return lambda files: write_folder(tmp_path / "set", files)


def keys_and_domains(data: StoredImages) -> list[tuple[str, str]]:
    labels = [data.load(index)[1] for index in range(len(data))]
    return list(zip(data.storage.keys, [data.info.domains[label] for label in labels]))


def test_images_without_folders_have_no_domains(write_set: WriteSet) -> None:
    data = open_path(write_set({"b.png": B, "a.png": A}))
    assert (data.info.name, data.info.count, data.info.size, data.info.channels) == ("set", 2, 6, 3)
    assert data.info.domains == ()
    assert data.info.flip is False
    for index, seed in enumerate([0, 1]):
        pixels, label = data.load(index)
        np.testing.assert_array_equal(pixels, np.asarray(noise(seed=seed)))
        assert label == 0


def test_sub_folders_are_domains(write_set: WriteSet) -> None:
    data = open_path(write_set({"dogs/1.png": A, "cats/kittens/2.png": B, "cats/1.png": C}))
    assert data.info.domains == ("cats", "dogs")
    assert keys_and_domains(data) == [("cats/1.png", "cats"), ("cats/kittens/2.png", "cats"), ("dogs/1.png", "dogs")]


def test_an_image_beside_sub_folders_means_no_domains(write_set: WriteSet) -> None:
    data = open_path(write_set({"dogs/1.png": A, "cats/1.png": B, "title.png": C}))
    assert data.info.domains == ()
    assert [data.load(index)[1] for index in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("wrapper", ["afhq/", "some/afhq/"])
def test_folders_around_all_images_are_not_domains(write_set: WriteSet, wrapper: str) -> None:
    data = open_path(write_set({f"{wrapper}dogs/1.png": A, f"{wrapper}cats/1.png": B, "readme.txt": TEXT}))
    assert data.info.domains == ("cats", "dogs")


def test_a_single_folder_is_not_a_domain(write_set: WriteSet) -> None:
    assert open_path(write_set({"images/1.png": A, "images/2.png": B})).info.domains == ()


def test_hidden_files_macos_forks_and_other_files_are_ignored(write_set: WriteSet) -> None:
    files = {"a.PNG": A, "._a.png": TEXT, ".trash/b.png": B, "__MACOSX/a.png": TEXT, "notes.txt": TEXT, "list": TEXT}
    assert open_path(write_set(files)).storage.keys == ["a.PNG"]


def test_a_set_without_images_is_an_error(write_set: WriteSet) -> None:
    with pytest.raises(DataError, match=r"contains no images \(PNG"):
        open_path(write_set({"notes.txt": TEXT}))


def test_a_set_without_readable_images_is_an_error_that_names_a_file(write_set: WriteSet) -> None:
    with pytest.raises(DataError, match=r"none of its 2 images can be read\. .*a\.png: not a readable image"):
        open_path(write_set({"a.png": TEXT, "b.png": b""}))


def test_an_unreadable_first_image_does_not_matter(write_set: WriteSet) -> None:
    data = open_path(write_set({"a.png": b"", "b.png": TEXT, "c.png": C}))
    assert (data.info.count, data.info.size) == (3, 6)
    for index, name in enumerate(["a.png", "b.png"]):
        with pytest.raises(DataError, match=re.escape(name)):
            data.load(index)
    assert data.load(2)[0].shape == (8, 6, 3)


def test_a_grey_image_among_rgb_images_leaves_the_set_rgb(write_set: WriteSet) -> None:
    files = {f"{index:03d}.png": encoded(noise(mode="L")) for index in range(100)}
    assert open_path(write_set(files)).info.channels == 1
    data = open_path(write_set({**files, **{f"{index:03d}.png": A for index in range(50, 100)}}))
    assert data.info.channels == 3
    assert data.load(0)[0].shape == (8, 6, 3)


def test_an_image_that_pillow_cannot_convert_is_named(write_set: WriteSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> np.ndarray:
        raise ValueError("conversion from LAB to RGB not supported")  # as some releases of Pillow do

    data = open_path(write_set({"lab.tiff": encoded(Image.new("LAB", (2, 2)), "tiff")}))
    monkeypatch.setattr("ganzoo.data.storage.to_array", refuse)
    with pytest.raises(DataError, match=r"lab\.tiff: its colours can't be read \(conversion from LAB"):
        data.load(0)


def test_many_threads_may_load_at_once(write_set: WriteSet) -> None:
    data = open_path(write_set({f"{index:02d}.png": encoded(noise(seed=index)) for index in range(40)}))
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda index: data.load(index)[0], range(40)))
    for seed, pixels in enumerate(loaded):
        np.testing.assert_array_equal(pixels, np.asarray(noise(seed=seed)))


# Folders


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    elsewhere = write_folder(tmp_path / "elsewhere", {"1.png": A})
    root = write_folder(tmp_path / "set", {"dogs/1.png": B})
    (root / "cats").symlink_to(elsewhere)
    (root / "dogs" / "2.png").symlink_to(elsewhere / "1.png")
    data = open_path(root)
    assert keys_and_domains(data) == [("cats/1.png", "cats"), ("dogs/1.png", "dogs"), ("dogs/2.png", "dogs")]


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"1.png": A, "more/2.png": B})
    (root / "more" / "again").symlink_to(root)
    assert open_path(root).storage.keys == ["1.png", "more/2.png"]


def test_images_below_lists_the_images_of_the_data_set(tmp_path: Path) -> None:
    elsewhere = write_folder(tmp_path / "elsewhere", {"1.png": A, ".2.png": TEXT})
    root = write_folder(tmp_path / "set", {"b/1.png": A, "b.png": B, "a.txt": TEXT, ".hidden/c.png": TEXT})
    (root / "linked").symlink_to(elsewhere)
    (root / "b" / "again").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "pipe.png")
    found = [path.relative_to(root).as_posix() for path in images_below(root)]
    assert found == ["b/1.png", "b.png", "gone.png", "linked/1.png"]
    (root / "pipe.png").unlink()
    assert sorted(found) == open_path(root).storage.keys
    with pytest.raises(DataError, match=r"nowhere: can't be listed"):
        images_below(tmp_path / "nowhere")


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"a.png": A})
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    data = open_path(root)
    with pytest.raises(DataError, match=r"gone\.png: can't be read \(.*No such file"):
        data.load(1)


def test_a_deleted_file_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"a.png": A, "b.png": B})
    data = open_path(root)
    (root / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: can't be read"):
        data.load(1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_a_name_that_is_not_utf8_can_be_read_and_printed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"a.png": A})
    for name, data in ((b"\xe9t\xe9.png", B), (b"\xff.png", TEXT)):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(data)
    opened = open_path(root)
    descriptions = [opened.describe(index) for index in range(3)]
    assert "\\udce9t\\udce9.png" in "".join(descriptions).encode("utf-8").decode()
    with pytest.raises(DataError) as caught:
        opened.load(opened.storage.keys.index(os.fsdecode(b"\xff.png")))
    assert "\\udcff.png" in str(caught.value).encode("utf-8").decode()


# Zip archives


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a.png": A, "b.png": B})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"set\.zip: a damaged or incomplete zip archive .* Copy or download it again"):
        open_path(path)


def test_damage_inside_an_archive_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a.png": A, "b.png": B})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"IDAT") + 10] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"set\.zip/b\.png: can't be read \(Bad CRC"):
        open_path(path).load(1)


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", A)
        archive.writestr("b.bmp", encoded(Image.new("RGB", (50, 50)), "bmp"))
    data = bytearray(path.read_bytes())
    start = data.index(b"b.bmp") + 5
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"set\.zip/b\.bmp: can't be read"):
        open_path(path).load(1)


def test_an_encrypted_archive_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a.png": A})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the encryption flag, in the local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"set\.zip: .* with 1 of its 1 image encrypted, which ganzoo can't unpack"):
        open_path(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_name_in_an_archive_is_one_image(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", A)
        archive.writestr("a.png", B)
    assert open_path(path).info.count == 1


# Paths


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        open_path(tmp_path / "nowhere")


def test_an_unsupported_kind_of_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set.pdf").write_bytes(A)
    with pytest.raises(
        DataError, match=r"set\.pdf: not a folder, a \.zip, \.tar, \.parquet, \.lmdb, \.npy, \.npz or IDX file"
    ):
        open_path(tmp_path / "set.pdf")


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set.zip").symlink_to(tmp_path / "set.zip")
    with pytest.raises(DataError, match=r"set\.zip: no such file"):
        open_path(tmp_path / "set.zip")


@pytest.mark.parametrize("name", ["x" * 5000, "zero\0byte"])
def test_an_impossible_path_is_an_error(name: str) -> None:
    with pytest.raises(DataError):
        open_path(Path(name))


def test_a_data_set_can_be_given_a_name(tmp_path: Path) -> None:
    assert open_path(write_folder(tmp_path / "set", {"a.png": A}), "cats").info.name == "cats"


NAMED = ["1", "x/2"]


@pytest.mark.parametrize(
    "layout",
    [
        ("set/a/1.png", "set/a/x/2.jpg", "set/b/1.jpg", "set/b/x/2.png"),
        ("train/a/1.png", "train/a/x/2.jpg", "train/b/1.jpg", "train/b/x/2.png", "val/a/3.png", "val/b/3.png"),
        ("trainA/1.png", "trainA/x/2.jpg", "trainB/1.jpg", "trainB/x/2.png", "testA/3.png", "testB/3.png"),
        ("a/train/1.png", "a/train/x/2.jpg", "b/train/1.jpg", "b/train/x/2.png", "a/val/3.png", "b/val/3.png"),
    ],
)
def test_the_name_of_an_image_is_its_path_in_its_domain_without_the_ending(
    write_set: WriteSet, layout: tuple[str, ...]
) -> None:
    data = open_path(write_set({path: encoded(noise()) for path in layout}))
    assert [*data.labels()] == [0, 0, 1, 1]
    assert data.names() == NAMED * 2
    again = pickle.loads(pickle.dumps(data))
    assert again.names() == NAMED * 2
    if (validation := data.validation()) is not None:
        assert isinstance(validation, StoredImages)
        assert validation.names() == ["3", "3"]


def test_an_image_has_the_same_name_at_every_stored_size(write_set: WriteSet) -> None:
    files = {f"{size}/{name}": encoded(noise(size, size)) for size in (4, 8) for name in ("a/1.png", "b/1.png")}
    data = open_path(write_set(files))
    assert data.names() == data.at_size(4).names() == ["1", "1"]
    assert data.at_size(4).info.size == 4


def test_images_without_domains_have_no_names(write_set: WriteSet) -> None:
    with pytest.raises(DataError, match="its images have no names by which they could be paired"):
        open_path(write_set({"1.png": encoded(noise())})).names()
