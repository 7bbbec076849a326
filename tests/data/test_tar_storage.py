"""Tests of .tar files, as written by webdataset."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ganzoo import DataError, DataInfo, open_path
from tests.data.pictures import encoded, noise

IMAGES = [noise(8, 8, seed=index) for index in range(6)]
LABELS = [4, 10, 4, 2, 10, 4]


def packed(files: Mapping[str, bytes], **options: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=options.get("mode", "w"), format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def samples(start: int, end: int, kind: str = "cls") -> dict[str, bytes]:
    """Return the files of samples; of every second one, the label precedes the image."""
    files = {}
    for index in range(start, end):
        label = b"%d" % LABELS[index] if kind == "cls" else b'{"label": %d, "caption": "x"}' % LABELS[index]
        pair = [
            (f"{index:06}.png", encoded(IMAGES[index])),
            (f"{index:06}.{kind}", label),
            (f"{index:06}.txt", b"a face"),
        ]
        files.update(pair[:: 1 if index % 2 else -1])
    return files


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_a_file_has_images_and_labels(tmp_path: Path, kind: str) -> None:
    (tmp_path / "set.tar").write_bytes(packed(samples(0, 6, kind)))
    data = open_path(tmp_path / "set.tar")
    assert data.info == DataInfo("set", 6, 8, 3, ("2", "4", "10"))
    assert data.labels().tolist() == [1, 2, 1, 0, 2, 1]
    for order in (range(6), reversed(range(6))):
        for index in order:
            image, label = data.load(index)
            assert (image == IMAGES[index]).all()
            assert label == data.labels()[index]
    assert data.notes == ["1 shard of webdataset, labels from .cls or .json files"]
    assert data.ignored_files == "6 other files ignored (.txt)"
    assert (pickle.loads(pickle.dumps(data)).load(4)[0] == IMAGES[4]).all()


@pytest.mark.parametrize("validation", ["set-val-000.tar", "test.tar"])
def test_a_folder_of_shards_has_training_and_validation_images(tmp_path: Path, validation: str) -> None:
    (tmp_path / "set-train-000.tar").write_bytes(packed(samples(0, 2)))
    (tmp_path / "set-train-001.tar").write_bytes(packed(samples(2, 4)))
    (tmp_path / validation).write_bytes(packed(samples(4, 6)))
    if validation != "test.tar":  # of two splits besides the training one, `test` is ignored
        (tmp_path / "set-test-000.tar").write_bytes(packed(samples(0, 1)))
    data = open_path(tmp_path, "set")
    assert data.info.count == 4
    assert data.describe(3).endswith("set-train-001.tar/000003.png")
    held_out = data.validation()
    assert held_out is not None
    assert held_out.info.name == "set-val"
    assert held_out.labels().tolist() == [2, 1]
    assert (held_out.load(1)[0] == IMAGES[5]).all()
    assert held_out.validation() is None


def test_without_labels_there_are_no_domains(tmp_path: Path) -> None:
    files = {f"faces/{index}.image.png": encoded(image) for index, image in enumerate(IMAGES)}
    (tmp_path / "set.tar").write_bytes(packed({**files, "faces/0.json": b'{"url": ""}', "faces/._1.png": b"resource"}))
    data = open_path(tmp_path / "set.tar")
    assert data.info.domains == ()
    assert data.info.count == 6
    assert data.notes == ["1 shard of webdataset, no labels"]


def test_the_fingerprint_changes_with_a_shard(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(packed(samples(0, 3)))
    (tmp_path / "1.tar").write_bytes(packed(samples(3, 6)))
    before = open_path(tmp_path).fingerprint()
    assert open_path(tmp_path).fingerprint() == before
    (tmp_path / "1.tar").write_bytes(packed({**samples(3, 6), "more.txt": b""}))
    assert open_path(tmp_path).fingerprint() != before


def test_a_folder_with_images_is_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(packed(samples(0, 3)))
    (tmp_path / "x.png").write_bytes(encoded(IMAGES[0]))
    assert open_path(tmp_path).info.count == 1


WHOLE = packed(samples(0, 6))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"set\.tar: not an uncompressed \.tar file \(empty file\)"),
        (b"images" * 200, r"set\.tar: not an uncompressed \.tar file"),
        (packed(samples(0, 6), mode="w:gz"), r"set\.tar: not an uncompressed \.tar file .* Unpack it"),
        (WHOLE[:4000], r"set\.tar: a damaged \.tar file: after \d images?, unexpected end of data"),
        (packed({"a.txt": b""}), r"contains no images"),
        (
            packed({**samples(0, 6), "000003.cls": b"cat"}),
            r"000003\.cls: the label is 'cat', not a whole number\. .* --labels cls;",
        ),
        (
            packed({**samples(0, 6), "x.json": b'{"label": 1.5}'}),
            r"x\.json: the label is 1\.5, not a whole number\. .* --labels label;",
        ),
        (packed({**samples(0, 6), "x.json": b'{"label": '}), r"x\.json: not JSON"),
        (packed({**samples(0, 6), "x.png": encoded(IMAGES[0])}), r"1 image without a label, such as x\.png"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "set.tar").write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        open_path(tmp_path / "set.tar")
    assert "\n" not in str(caught.value)


def test_a_member_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("b.png")
    info.size = 1 << 40
    content = packed({"a.png": encoded(IMAGES[0])}).rstrip(b"\0")
    end = -(-len(content) // 512) * 512
    (tmp_path / "set.tar").write_bytes(content.ljust(end, b"\0") + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match="after 2 images, unexpected end of data"):
        open_path(tmp_path / "set.tar")


def test_a_validation_label_without_training_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(packed(samples(0, 2)))
    (tmp_path / "val.tar").write_bytes(packed(samples(2, 4)))
    with pytest.raises(DataError, match=r"val\.tar/000003\.png has the label 2, which is none of 4, 10"):
        open_path(tmp_path).validation()


def test_a_name_that_leads_outside_is_ignored_and_an_absolute_one_is_only_a_name(tmp_path: Path) -> None:
    files = {"../../outside.png": encoded(IMAGES[0]), "/etc/x.png": encoded(IMAGES[1])}
    (tmp_path / "set.tar").write_bytes(packed(files))
    data = open_path(tmp_path / "set.tar")
    assert data.info.count == 1
    assert (data.load(0)[0] == IMAGES[1]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar"]


def test_label_files_are_annotations_and_need_no_whole_numbers_then(tmp_path: Path) -> None:
    def described(start: int, end: int) -> dict[str, bytes]:
        files = samples(start, end)
        for index in range(start, end):
            entries = {"hair": "rgb"[index % 3], "age": index, "pose": [0.5, index], "tags": ["a"]}
            files[f"{index:06}.json"] = json.dumps(entries | ({"seen": True} if index else {})).encode()
        return files

    (tmp_path / "train.tar").write_bytes(packed({**described(0, 4), "000000.cls": b"cat"}))
    (tmp_path / "val.tar").write_bytes(packed(described(4, 6)))
    with pytest.raises(DataError, match=r"000000\.cls: the label is 'cat', not a whole number"):
        open_path(tmp_path)
    data = open_path(tmp_path, labels="hair")
    assert data.annotations() == {
        "cls": ["cat", 10, 4, 2],
        "hair": ["r", "g", "b", "r"],
        "age": [0, 1, 2, 3],
        "pose": [[0.5, 0], [0.5, 1], [0.5, 2], [0.5, 3]],
        "seen": [None, True, True, True],
    }
    assert data.info.domains == ("b", "g", "r")
    assert data.notes == ["1 shard of webdataset"]
    validation = data.validation()
    assert validation is not None
    assert validation.labels().tolist() == [1, 0]
    assert open_path(tmp_path, labels="cls").info.domains == ("10", "2", "4", "cat")
    assert open_path(tmp_path, labels="none").annotations()["age"] == [0, 1, 2, 3]
    assert pickle.loads(pickle.dumps(data)).labels().tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize(("kind", "name"), [("cls", "cls"), ("json", "label")])
def test_the_labels_are_named_after_their_file_or_entry(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / "set.tar").write_bytes(packed(samples(0, 6, kind)))
    data = open_path(tmp_path / "set.tar")
    assert data.labelled_by == name
    assert data.annotations()[name] == LABELS
    assert open_path(tmp_path / "set.tar", labels=name).info == data.info


def test_validation_images_whose_labels_are_secret_or_that_are_none_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(packed(samples(0, 4)))
    secret = {name: data for name, data in samples(4, 6).items() if name.endswith(".png")}
    for files in (secret, {}):
        (tmp_path / "test.tar").write_bytes(packed(files))
        assert open_path(tmp_path).validation() is None
    (tmp_path / "test.tar").write_bytes(packed(secret))
    validation = open_path(tmp_path, labels="none").validation()
    assert validation is not None
    assert validation.info.count == 2


def test_samples_with_several_images_are_counted(tmp_path: Path) -> None:
    files = {"a.input.png": encoded(IMAGES[0]), "a.target.png": encoded(IMAGES[1]), "b.input.png": encoded(IMAGES[2])}
    (tmp_path / "set.tar").write_bytes(packed(files))
    data = open_path(tmp_path / "set.tar")
    assert data.info.count == 3
    assert data.notes[1:] == ["1 sample with several images, all of which are used"]
