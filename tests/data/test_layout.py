"""Validation images, and domains without images, in folders, zip archives and LMDBs."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.data.layout import Listing, find_domains, labels_of, validation_path
from ganzoo.data.lmdb_writer import write_lmdb
from ganzoo.data.splits import find_splits
from ganzoo.data.storage import StoredImages, open_path
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder

A = encoded(noise())
TEXT = b"no image"

WriteSet = Callable[..., Path]


@pytest.fixture(params=["folder", "zip"])
def write_set(request: pytest.FixtureRequest, tmp_path: Path) -> WriteSet:
    """Return a function that writes a text to each path that ends in .txt, makes a folder of each path that ends in
    '/', and writes an image to every other path."""

    def folder(*paths: str) -> Path:
        root = write_folder(tmp_path / "set", {path: content(path) for path in paths if not path.endswith("/")})
        for path in paths:
            if path.endswith("/"):
                (root / path).mkdir(parents=True)
        return root

    def archive(*paths: str) -> Path:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
            for path in paths:
                file.writestr(path, b"" if path.endswith("/") else content(path))
        return tmp_path / "set.zip"

    return archive if request.param == "zip" else folder


def content(path: str) -> bytes:
    return TEXT if path.endswith(".txt") else encoded(noise(seed=sum(path.encode())))


def keys(data: Dataset | None) -> list[str]:
    assert isinstance(data, StoredImages)
    return data.storage.keys


def domain_names(data: Dataset | None) -> list[str]:
    """Return the domain of each image."""
    assert data is not None
    return [data.info.domains[label] for label in data.labels()]


# Images for validation


@pytest.mark.parametrize("wrapper", ["", "afhq/", "some/afhq/"])
@pytest.mark.parametrize("second", ["val", "validation", "valid", "test", "Test"])
def test_train_and_val_are_parts_not_domains(write_set: WriteSet, wrapper: str, second: str) -> None:
    paths = [f"{wrapper}{part}/{kind}/1.png" for part in ("train", second) for kind in ("cat", "dog")]
    data = open_path(write_set(*paths, "readme.txt"))
    held_out = data.validation()
    assert held_out is not None
    assert data.info == DataInfo("set", 2, 6, 3, ("cat", "dog"))
    assert held_out.info == DataInfo("set-val", 2, 6, 3, ("cat", "dog"))
    assert (keys(data), keys(held_out)) == (paths[:2], paths[2:])
    for part, part_paths in ((data, paths[:2]), (held_out, paths[2:])):
        assert part.labels().tolist() == [0, 1]
        for index, path in enumerate(part_paths):
            pixels, label = part.load(index)
            np.testing.assert_array_equal(pixels, np.asarray(noise(seed=sum(path.encode()))))
            assert label == index
            assert path in part.describe(index)
    assert held_out.validation() is None


def test_val_takes_precedence_over_other_validation_folders(write_set: WriteSet) -> None:
    data = open_path(write_set("train/1.png", "test/2.png", "val/3.png", "valid/4.png"))
    assert (keys(data), keys(data.validation())) == (["train/1.png"], ["val/3.png"])


def test_parts_may_have_no_domains(write_set: WriteSet) -> None:
    data = open_path(write_set("train/1.png", "train/2.png", "val/3.png"))
    assert (data.info.domains, data.info.count) == ((), 2)
    held_out = data.validation()
    assert held_out is not None
    assert held_out.info == DataInfo("set-val", 1, 6, 3)
    assert (data.labels().tolist(), held_out.labels().tolist()) == ([0, 0], [0])


def test_train_alone_is_just_an_enclosing_folder(write_set: WriteSet) -> None:
    data = open_path(write_set("afhq/train/cat/1.png", "afhq/train/dog/1.png", "afhq/val/"))
    assert data.info.domains == ("cat", "dog")
    assert data.validation() is None


@pytest.mark.parametrize(
    "paths",
    [
        ["train/1.png", "val/1.png", "boat/1.png"],  # as in a set of vehicles
        ["val/1.png", "test/1.png"],
        ["train/1.png", "Train/1.png", "val/1.png"],
    ],
)
def test_beside_other_folders_train_and_val_are_domains(write_set: WriteSet, paths: list[str]) -> None:
    data = open_path(write_set(*paths))
    assert data.validation() is None
    assert set(data.info.domains) == {path.split("/")[0] for path in paths}


def test_beside_an_image_train_and_val_are_neither_parts_nor_domains(write_set: WriteSet) -> None:
    data = open_path(write_set("train/1.png", "val/1.png", "title.png"))
    assert (data.info.count, data.info.domains, data.validation()) == (3, (), None)


def test_a_domain_may_lack_validation_images(write_set: WriteSet) -> None:
    data = open_path(
        write_set("train/cat/1.png", "train/dog/1.png", "train/yak/1.png", "val/yak/1.png", "val/yak/2.png")
    )
    held_out = data.validation()
    assert held_out is not None
    assert held_out.info.domains == ("cat", "dog", "yak")
    assert domain_names(held_out) == ["yak", "yak"]


def test_an_unknown_domain_in_the_validation_images_is_an_error(write_set: WriteSet) -> None:
    data = open_path(write_set("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dgo/1.png"))
    with pytest.raises(DataError, match=r"set.*: val/dgo/: not a domain of the training images \(cat, dog"):
        data.validation()


def test_a_validation_image_outside_the_domains_is_an_error(write_set: WriteSet) -> None:
    data = open_path(write_set("train/cat/1.png", "train/dog/1.png", "val/1.png"))
    with pytest.raises(DataError, match=r"val/1\.png: not in a domain's folder; .* cat, dog"):
        data.validation()


def test_without_domains_the_folders_of_both_parts_may_differ(write_set: WriteSet) -> None:
    path = write_set("train/00000/1.png", "train/01000/1.png", "val/69000/1.png")
    data = open_path(path, labels="none")
    held_out = data.validation()
    assert held_out is not None
    assert data.info.domains == held_out.info.domains == ()
    assert held_out.labels().tolist() == [0]


@pytest.mark.parametrize("inner", ["images/", ""])
def test_validation_domains_may_be_nested_like_training_domains(write_set: WriteSet, inner: str) -> None:
    data = open_path(write_set("train/images/cat/1.png", "train/images/dog/1.png", f"val/{inner}dog/1.png"))
    assert domain_names(data) == ["cat", "dog"]
    assert domain_names(data.validation()) == ["dog"]


def test_each_part_may_have_several_sizes(tmp_path: Path) -> None:
    files = {
        f"{part}/{size}/{kind}/1.png": encoded(noise(size, size, seed=size))
        for part in ("train", "val")
        for size in (8, 16)
        for kind in ("cat", "dog")
    }
    data = open_path(write_folder(tmp_path / "set", files))
    for size in (8, 16):
        for part in (data.at_size(size), data.at_size(size).validation()):
            assert part is not None
            assert part.info.size == size
            assert domain_names(part) == ["cat", "dog"]
            np.testing.assert_array_equal(part.load(1)[0], np.asarray(noise(size, size, seed=size)))


def test_validation_images_can_be_pickled(write_set: WriteSet) -> None:
    data = open_path(write_set("train/cat/1.png", "train/dog/1.png", "val/dog/1.png"))
    held_out = pickle.loads(pickle.dumps(data)).validation()
    assert domain_names(pickle.loads(pickle.dumps(held_out))) == ["dog"]


def test_validation_images_have_the_channels_of_the_training_images(tmp_path: Path) -> None:
    files = {"train/1.png": A, "val/1.png": encoded(noise(mode="L"))}
    held_out = open_path(write_folder(tmp_path / "set", files)).validation()
    assert held_out is not None
    assert held_out.info.channels == held_out.load(0)[0].shape[2] == 3


# Domains without images


@pytest.mark.parametrize("wrapper", ["", "afhq/", "afhq/train/"])
def test_an_empty_folder_beside_domains_is_a_domain(write_set: WriteSet, wrapper: str) -> None:
    data = open_path(write_set(f"{wrapper}cat/1.png", f"{wrapper}dog/1.png", f"{wrapper}bee/"))
    assert data.info.domains == ("bee", "cat", "dog")
    assert domain_names(data) == ["cat", "dog"]


def test_a_folder_without_images_beside_domains_is_a_domain(write_set: WriteSet) -> None:
    data = open_path(write_set("cat/1.png", "dog/1.png", "bee/1.txt"))
    assert data.info.domains == ("bee", "cat", "dog")


@pytest.mark.parametrize("other", [".bee/", "__MACOSX/cat/", ".git/1.txt", "notes.txt", "cat/small/"])
def test_hidden_folders_and_files_are_not_domains(write_set: WriteSet, other: str) -> None:
    assert open_path(write_set("cat/1.png", "dog/1.png", other)).info.domains == ("cat", "dog")


def test_a_single_folder_of_images_is_a_domain_only_beside_an_empty_one(write_set: WriteSet) -> None:
    data = open_path(write_set("set/cat/1.png", "set/cat/2.png", "set/bee/", "set/notes/1.txt", "readme.txt"))
    assert data.info.domains == ("bee", "cat")
    assert domain_names(data) == ["cat", "cat"]


@pytest.mark.parametrize("other", ["notes/1.txt", ".hidden/", "images/empty/"])
def test_a_single_folder_of_images_without_an_empty_one_beside_it_is_not_a_domain(
    write_set: WriteSet, other: str
) -> None:
    assert open_path(write_set("images/1.png", "images/2.png", other)).info.domains == ()


def test_an_empty_folder_beside_sizes_is_ignored(tmp_path: Path) -> None:
    files = {f"{size}/a.png": encoded(noise(size, size)) for size in (8, 16)}
    root = write_folder(tmp_path / "set", files)
    (root / "32").mkdir()
    data = open_path(root)
    assert (data.info.domains, data.info.size, data.at_size(8).info.size) == ((), 16, 8)


COMPONENTS = st.sampled_from(["a", "b", "train", "val", ".", "..", ""])


@given(
    st.lists(st.lists(COMPONENTS, max_size=4).map("/".join)), st.lists(st.lists(COMPONENTS, max_size=4).map("/".join))
)
def test_any_paths_have_domains_or_none(images: list[str], folders: list[str]) -> None:
    listing = Listing([f"{folder}/1.png" if folder else "1.png" for folder in images], folders)
    training = find_splits(listing.images).training[""]
    keys = listing.below(training)
    assert bool(keys) is bool(listing.images)
    found = find_domains(listing, keys, training) if keys else None
    if found:
        assert len(labels_of(keys, found)) == len(keys)
        assert list(found.names) == sorted({*found.names})


def test_names_in_an_archive_may_begin_with_a_slash(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in ("/set/cat/1.png", "/set/dog/1.png", "./other.txt"):
            archive.writestr(path, content(path))
    assert domain_names(open_path(tmp_path / "set.zip")) == ["cat", "dog"]


# LMDBs


def write_labelled_lmdb(path: Path, labels: list[int], domains: list[str] | None = None) -> Path:
    metadata = {"domains": domains, "labels": labels} if domains else {}
    write_lmdb(path, [encoded(noise(8, 8, seed=index)) for index in range(len(labels))], 8, metadata)
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/x.lmdb", "a/x-val.lmdb"), ("x.mdb", "x-val.mdb"), ("v1.0", "v1.0-val"), ("/a/x", "/a/x-val")],
)
def test_the_validation_lmdb_is_beside_the_training_lmdb(path: str, expected: str) -> None:
    assert validation_path(Path(path)) == Path(expected)


def test_validation_images_are_read_from_an_lmdb(tmp_path: Path) -> None:
    data = open_path(write_labelled_lmdb(tmp_path / "x.lmdb", [0, 1, 1], ["wild", "cat"]))
    assert data.validation() is None
    write_labelled_lmdb(tmp_path / "x-val.lmdb", [1], ["wild", "cat"])
    held_out = data.validation()
    assert held_out is not None
    assert held_out.info == DataInfo("x-val", 1, 8, 3, ("wild", "cat"))
    assert held_out.labels().tolist() == [1]
    assert held_out.validation() is None


def test_validation_labels_follow_the_order_of_the_training_domains(tmp_path: Path) -> None:
    data = open_path(write_labelled_lmdb(tmp_path / "x.lmdb", [0, 1, 2], ["cat", "dog", "wild"]))
    write_labelled_lmdb(tmp_path / "x-val.lmdb", [0, 1, 1], ["wild", "cat"])
    assert domain_names(data.validation()) == ["wild", "cat", "cat"]
    assert open_path(tmp_path / "x.lmdb", labels="none").validation().labels().tolist() == [0, 0, 0]  # type: ignore


@pytest.mark.parametrize("domains", [["cat", "cow"], None])
def test_different_validation_domains_are_an_error(tmp_path: Path, domains: list[str] | None) -> None:
    data = open_path(write_labelled_lmdb(tmp_path / "x.lmdb", [0, 1], ["cat", "dog"]))
    write_labelled_lmdb(tmp_path / "x-val.lmdb", [0, 1], domains)
    with pytest.raises(DataError, match=r"x-val\.lmdb: its domains \((cat, cow|none)\) differ from those of x\.lmdb"):
        data.validation()


def test_a_domain_of_an_lmdb_may_be_empty(tmp_path: Path) -> None:
    data = open_path(write_labelled_lmdb(tmp_path / "x.lmdb", [0, 2], ["cat", "dog", "wild"]))
    assert data.info.domains == ("cat", "dog", "wild")
    assert domain_names(data) == ["cat", "wild"]


# Labels


class HalfUnreadable(NumberedDataset):
    """Two domains; every second image is unreadable."""

    def __init__(self) -> None:
        self.info = DataInfo("half", 4, 4, 1, ("a", "b"))

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index % 2:
            raise DataError("damaged")
        return super().load(index, size)[0], index // 2


def test_labels_are_found_by_loading_unless_overridden() -> None:
    assert HalfUnreadable().labels().tolist() == [0, -1, 1, -1]


def test_labels_without_domains_need_no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumberedDataset, "load", None)
    assert NumberedDataset(3).labels().tolist() == [0, 0, 0]
    assert NumberedDataset(3).validation() is None


def test_labels_of_stored_images_need_no_decoding(write_set: WriteSet, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_path(write_set("cat/1.png", "dog/1.png", "dog/2.png"))
    monkeypatch.setattr(StoredImages, "load", None)
    assert data.labels().tolist() == [0, 1, 1]
    data.labels()[:] = 7
    assert data.labels().tolist() == [0, 1, 1]
