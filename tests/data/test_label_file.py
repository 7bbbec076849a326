"""Tests of the label files of NVIDIA's data sets, in folders and zip archives."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo import DataError, open_path
from tests.data.pictures import encoded, noise

FILES = {f"0000{index // 2}/img{index:08}.png": encoded(noise(8, 8, seed=index)) for index in range(5)}


def labelled(labels: Any, keys: Any = FILES) -> dict[str, bytes]:
    content = {"labels": None if labels is None else [list(pair) for pair in zip(keys, labels)]}
    return {**FILES, "dataset.json": json.dumps(content).encode()}


@pytest.fixture(params=["folder", "zip", "zip with an outer folder"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a function that writes files to a folder or an archive, and returns its path."""

    def write(files: dict[str, bytes]) -> Path:
        if request.param == "folder":
            for name, content in files.items():
                (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "set" / name).write_bytes(content)
            return tmp_path / "set"
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(("set/" if "outer" in request.param else "") + name, content)
        return tmp_path / "set.zip"

    return write


def test_classes_are_domains(write: Any) -> None:
    data = open_path(write(labelled([10, 2, 10, 7, 2])))
    assert data.info.domains == ("2", "7", "10")
    assert data.labels().tolist() == [2, 0, 2, 1, 0]
    assert [data.load(index)[1] for index in range(5)] == [2, 0, 2, 1, 0]
    assert all((data.load(index)[0] == noise(8, 8, seed=index)).all() for index in range(5))
    assert data.notes == ["dataset.json gives the labels; folders are not domains"]
    assert data.ignored_files is None
    assert data.validation() is None
    assert pickle.loads(pickle.dumps(data)).labels().tolist() == [2, 0, 2, 1, 0]
    with pytest.raises(DataError, match="have no names by which they could be paired"):
        data.names()


def test_lists_of_numbers_are_attributes(write: Any) -> None:
    rows = [[0.5, -1], [0, 2], [1, 3], [2, 1e-3], [3, 4]]
    data = open_path(write(labelled(rows)))
    assert data.info.domains == ()
    assert data.info.attributes == ("0", "1")
    assert data.attributes().dtype == np.float32
    assert (data.attributes() == np.array(rows, np.float32)).all()
    assert data.notes == ["dataset.json gives 2 attributes; folders are not domains"]


def test_without_labels_folders_are_not_domains(write: Any) -> None:
    data = open_path(write(labelled(None)))
    assert (data.info.domains, data.info.attributes) == ((), ())
    assert data.info.count == 5
    assert data.notes == ["dataset.json gives no labels; folders are not domains"]


def test_labels_of_absent_images_do_not_matter(write: Any) -> None:
    files = labelled([1, 2, 3, 4, 5])
    del files["00001/img00000002.png"]
    assert open_path(write(files)).info.domains == ("1", "2", "4", "5")


def test_another_file_of_that_name_is_ignored(write: Any) -> None:
    data = open_path(write({**FILES, "dataset.json": b'{"name": "faces"}'}))
    assert data.info.domains == ("00000", "00001", "00002")
    assert data.ignored_files == "1 other file ignored (.json)"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"labels": [["000', r"dataset\.json: not \{\"labels\": \[\[PATH, LABEL\], \.\.\.\]\}"),
        (b'{"labels": 3}', r"dataset\.json: not \{\"labels\""),
        (b'{"labels": [[1]]}', r"dataset\.json: not \{\"labels\""),
        (b"\xff\xfe\x00", r"dataset\.json: not \{\"labels\""),
        (b"[" * 100_000, r"dataset\.json: not \{\"labels\""),
        (labelled([1, 2, 3])["dataset.json"], r"no label for 2 images, such as 00001/img00000003\.png"),
        (labelled([1, 2, "cat", 4, 5])["dataset.json"], r"img00000002\.png is 'cat', not a whole number"),
        (labelled([1, 2, [3], 4, 5])["dataset.json"], r"img00000002\.png is \[3\], not a whole number"),
        (labelled([1, 2, True, 4, 5])["dataset.json"], r"img00000002\.png is True, not a whole number"),
        (
            labelled([[1], [2], [3, 4], [4], [5]])["dataset.json"],
            r"is \[3, 4\], but that of the first image is 1 number",
        ),
        (labelled([[1], [2], 3, [4], [5]])["dataset.json"], r"is 3, but that of the first image is 1 number"),
        (labelled([[1], [2], ["a"], [4], [5]])["dataset.json"], r"is \['a'\], but that of the first image is 1 number"),
        (labelled([[1], [2], [float("nan")], [4], [5]])["dataset.json"], r"is \[nan\], but"),
        (
            labelled([[], [], [], [], []])["dataset.json"],
            "0 numbers for 00000/img00000000.png; there can be 1 to 1,000",
        ),
    ],
)
def test_damage_is_one_clear_line(write: Any, content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        open_path(write({**FILES, "dataset.json": content}))
    assert "\n" not in str(caught.value)


def test_without_the_label_file_a_set_with_a_damaged_one_can_be_used(write: Any) -> None:
    path = write({**FILES, "dataset.json": labelled([None] * 5)["dataset.json"]})
    with pytest.raises(
        DataError, match=r"None, not a whole number\. To do without this file, use --labels folder or none"
    ):
        open_path(path)
    data = open_path(path, labels="none")
    assert (data.info.count, data.info.domains) == (5, ())
    assert any("is None, not a whole number. So it is ignored" in note for note in data.notes)
