"""Recognising training and validation images by the names of their folders, as found in published data sets."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ganzoo.data.splits import find_splits, split_name
from ganzoo.data.storage import StoredImages, open_path
from tests.data.pictures import encoded, noise, write_folder, write_zip


def write_set(root: Path, *paths: str) -> StoredImages:
    """Write images to these paths and open the folder."""
    return open_path(write_folder(root / "set", {path: encoded(noise(seed=sum(path.encode()))) for path in paths}))


def keys(data: object) -> list[str]:
    assert isinstance(data, StoredImages)
    return list(data.storage.keys)


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        ("training", "testing"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("train", "test1"),
        ("trainset", "valid-set"),
    ],
)
def test_splits_are_recognised_by_other_names(tmp_path: Path, training: str, validation: str) -> None:
    paths = [f"{split}/{kind}/1.png" for split in (training, validation) for kind in ("cat", "dog")]
    data = write_set(tmp_path, *paths)
    assert data.info.domains == ("cat", "dog")
    assert (keys(data), keys(data.validation())) == (paths[:2], paths[2:])
    assert data.notes == [
        f"trained on: {training}/ (2 images)",
        f"kept for validation: {validation}/ (2 images)",
    ]


@pytest.mark.parametrize("name", ["traindeer", "protest", "trains", "valley", "tests", "t", "", "vali"])
def test_other_names_are_not_splits(name: str) -> None:
    assert split_name(name) is None


def test_notes_list_the_folders_that_are_not_used(tmp_path: Path) -> None:
    data = write_set(tmp_path, "train/1.png", "val/2.png", "test/3.png", "test/4.png")
    assert keys(data) == ["train/1.png"]
    assert "not used: test/ (2 images)" in data.notes


def test_train_and_val_need_no_note(tmp_path: Path) -> None:
    assert list(write_set(tmp_path, "train/1.png", "val/2.png").notes) == []


def test_each_split_may_be_inside_a_folder_of_the_same_name(tmp_path: Path) -> None:
    """This is so in a data set of natural scenes, where seg_pred/ has no domains and isn't used."""
    paths = [f"seg_{split}/seg_{split}/{kind}/1.png" for split in ("train", "test") for kind in ("forest", "sea")]
    data = write_set(tmp_path, *paths, "seg_pred/seg_pred/1.png")
    held_out = data.validation()
    assert data.info.domains == ("forest", "sea")
    assert (keys(data), keys(held_out)) == (paths[:2], paths[2:])
    assert held_out is not None
    assert held_out.labels().tolist() == [0, 1]
    assert "not used: seg_pred/ (1 image)" in data.notes


def test_annotations_beside_the_splits_are_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"train2017/1.png": encoded(noise()), "val2017/2.png": encoded(noise())})
    write_folder(root / "annotations", {"all.json": b"{}"})
    assert keys(open_path(root)) == ["train2017/1.png"]


@pytest.mark.parametrize("wrapper", ["", "horse2zebra/"])
def test_each_split_of_each_domain_may_have_a_folder(tmp_path: Path, wrapper: str) -> None:
    paths = [f"{wrapper}{split}{domain}/1.png" for split in ("train", "test") for domain in "AB"]
    data = write_set(tmp_path, *paths, f"{wrapper}trainB/2.png")
    held_out = data.validation()
    assert held_out is not None
    assert data.info.domains == held_out.info.domains == ("A", "B")
    assert keys(data) == [*paths[:2], f"{wrapper}trainB/2.png"]
    assert keys(held_out) == paths[2:]
    assert (data.labels().tolist(), held_out.labels().tolist()) == ([0, 1, 1], [0, 1])
    assert [data.load(index)[1] for index in range(3)] == [0, 1, 1]
    assert held_out.validation() is None
    assert list(data.notes) == [
        "trained on: the domains A, B from trainA/ (1 image), trainB/ (2 images)",
        "kept for validation: testA/ (1 image), testB/ (1 image)",
    ]


def test_without_domains_the_folders_of_a_split_are_combined(tmp_path: Path) -> None:
    write_set(tmp_path, "trainA/1.png", "trainB/2.png", "testA/3.png", "testB/4.png")
    data = open_path(tmp_path / "set", labels="none")
    held_out = data.validation()
    assert (keys(data), keys(held_out)) == (["trainA/1.png", "trainB/2.png"], ["testA/3.png", "testB/4.png"])
    assert held_out is not None
    assert (data.labels().tolist(), held_out.labels().tolist()) == ([0, 0], [0, 0])


def test_a_domain_may_have_no_validation_images(tmp_path: Path) -> None:
    data = write_set(tmp_path, "trainA/1.png", "trainB/2.png", "testB/4.png", "valB/5.png")
    held_out = data.validation()
    assert held_out is not None
    assert (keys(held_out), held_out.labels().tolist()) == (["valB/5.png"], [1])
    assert "not used: testB/ (1 image)" in data.notes


def test_each_domain_may_have_a_folder_for_each_split(tmp_path: Path) -> None:
    data = write_set(
        tmp_path, "cat/train/1.png", "cat/test/2.png", "dog/train/a/3.png", "dog/val/4.png", "dog/test/5.png"
    )
    assert (data.info.domains, keys(data)) == (("cat", "dog"), ["cat/train/1.png", "dog/train/a/3.png"])
    assert data.labels().tolist() == [0, 1]
    held_out = data.validation()
    assert held_out is not None
    assert (keys(held_out), held_out.labels().tolist()) == (["cat/test/2.png", "dog/val/4.png"], [0, 1])
    assert data.notes == [
        "trained on: the domains cat, dog from cat/train/ (1 image), dog/train/ (1 image)",
        "kept for validation: cat/test/ (1 image), dog/val/ (1 image)",
        "not used: dog/test/ (1 image)",
    ]


@pytest.mark.parametrize(
    "other", ["cat/other/1.png", "cat/1.png", "bird/1.png", "bird/test/1.png", "cat/training/1.png"]
)
def test_splits_in_only_some_domains_are_not_splits(tmp_path: Path, other: str) -> None:
    data = write_set(tmp_path, "cat/train/1.png", "cat/test/2.png", "dog/train/3.png", "dog/test/4.png", other)
    assert len(keys(data)) == 5


def test_training_folders_alone_remain_domains(tmp_path: Path) -> None:
    assert write_set(tmp_path, "trainA/1.png", "trainB/2.png").info.domains == ("trainA", "trainB")


@pytest.mark.parametrize("other", ["extra/1.png", "Train/1.png"])
def test_splits_beside_other_folders_are_domains_with_a_warning(tmp_path: Path, other: str) -> None:
    data = write_set(tmp_path, "train/1.png", "test/2.png", other)
    assert len(data.info.domains) == 3
    (note,) = data.notes
    assert "test/, train/ are treated as domains, so all their images are used for training" in note


def test_training_and_validation_images_never_overlap() -> None:
    splits = find_splits(["a/train/1.png", "a/test/1.png", "a/val/2.png"])
    assert (splits.training, splits.validation) == ({"": "a/train"}, {"": "a/val"})


def test_a_zip_with_backslashes_has_splits_and_domains(tmp_path: Path) -> None:
    paths = ["train\\cat\\1.png", "train\\dog\\1.png", "val\\dog\\1.png"]
    data = open_path(write_zip(tmp_path / "set.zip", {path: encoded(noise()) for path in paths}))
    assert data.info.domains == ("cat", "dog")
    assert data.load(1)[1] == 1
    assert keys(data.validation()) == ["val/dog/1.png"]


def test_images_of_a_zip_with_backslashes_keep_their_order(tmp_path: Path) -> None:
    """'\\\\' sorts after the digits, '/' before them. A resumed run must see the same images."""
    names = ["a\\1.png", "a1\\1.png", "a\\2.png"]
    files = {name: encoded(noise(seed=seed)) for seed, name in enumerate(names)}
    data = open_path(write_zip(tmp_path / "set.zip", files))
    assert keys(data) == [name.replace("\\", "/") for name in sorted(names)]


def test_backslashes_are_part_of_a_name_if_other_names_have_slashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("cat/1.png", "dog/a\\1.png"):
            archive.writestr(name, encoded(noise()))
    data = open_path(tmp_path / "set.zip")
    assert keys(data) == ["cat/1.png", "dog/a\\1.png"]
    assert data.load(1)[0].shape == (8, 6, 3)


def test_backslashes_and_slashes_both_separate_folders_in_a_windows_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("cat\\1.png", "dog/1.png"):
            member = zipfile.ZipInfo(name)
            member.create_system = 0  # written on a FAT file system
            archive.writestr(member, encoded(noise()))
    data = open_path(tmp_path / "set.zip")
    assert data.info.domains == ("cat", "dog")
    assert data.load(0)[0].shape == (8, 6, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_utf_8_names_are_decoded_even_if_not_marked_as_utf_8(tmp_path: Path, encoding: str) -> None:
    """Names in another encoding get a note, since the archive doesn't declare that encoding."""
    name = "\u4e2d\u6587"
    path = tmp_path / "set.zip"
    placeholder = "x" * len(name.encode(encoding))
    write_zip(path, {f"cats/{n}.png": encoded(noise()) for n in range(2)} | {f"{placeholder}/1.png": encoded(noise())})
    path.write_bytes(path.read_bytes().replace(placeholder.encode() + b"/", name.encode(encoding) + b"/"))
    data = open_path(path)
    assert data.info.domains == ("cats", name if encoding == "utf-8" else name.encode(encoding).decode("cp437"))
    assert data.load(2)[0].shape == (8, 6, 3)
    assert any("encoding" in note for note in data.notes) == (encoding == "gbk")
