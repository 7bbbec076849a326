"""Zip archives that `ganzoo data prepare` writes for StyleGAN3, read as its documentation describes them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo import DataError, DataInfo, open_path, prepare, with_labels
from ganzoo.data import zip_writer
from ganzoo.data.images import crop_and_resize
from ganzoo.data.labelling import describe_labels
from ganzoo.data.zip_writer import image_name
from tests.data.pictures import NumberedDataset, encoded, noise, pets, write_folder, write_zip
from tests.data.test_labelling import KNOWN, Annotated
from tests.support.shades import Shades


def read_archive(path: Path) -> tuple[list[np.ndarray], Any]:
    """Return the images of an archive in the order of their names, and its labels, with nothing but zipfile, Pillow and
    json. All images must be stored PNGs of one square size, a power of two. As NVIDIA's programs do, it reads files
    with an extension of images, and dataset.json."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        members = {member.filename: member for member in archive.infolist()}
        assert all(member.compress_type == zipfile.ZIP_STORED for member in members.values())
        names = sorted(name for name in members if Path(name).suffix in Image.registered_extensions())
        assert names == [name for name in members if name not in ("dataset.json", "metadata.jsonl")]
        images = [Image.open(io.BytesIO(archive.read(name))) for name in names]
        labels = json.loads(archive.read("dataset.json"))["labels"]
    (size,) = {image.size for image in images}
    assert size[0] == size[1] == 2 ** (size[0].bit_length() - 1)
    assert {image.format for image in images} == {"PNG"}
    if labels is not None:
        by_name = dict(labels)
        labels = [by_name[name] for name in names]
    return [np.asarray(image) for image in images], labels


def test_another_program_reads_the_images_and_numbers_for_their_domains(tmp_path: Path) -> None:
    source, lines = pets(tmp_path / "set"), list[str]()
    summary = prepare(source, tmp_path / "out.zip", [8], say=lines.append)
    assert (summary.count, summary.sizes, summary.bytes) == (6, (8,), (tmp_path / "out.zip").stat().st_size)
    assert "domains become numbers: 0=cat, 1=dog" in lines
    images, labels = read_archive(tmp_path / "out.zip")
    assert labels == [0, 0, 0, 1, 1, 1]
    for index, image in enumerate(images):
        np.testing.assert_array_equal(image, crop_and_resize(source.load(index)[0], 8))
    images, labels = read_archive(tmp_path / "out-val.zip")
    assert (len(images), labels) == (1, [1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-val.zip", "out.zip", "set"]


def test_ganzoo_reads_the_names_of_the_domains_and_the_validation_images(tmp_path: Path) -> None:
    source = pets(tmp_path / "set")
    prepare(source, tmp_path / "out.zip", [16], flip=True)
    data = open_path(tmp_path / "out.zip")
    validation, expected = data.validation(), source.validation()
    assert validation is not None
    assert expected is not None
    assert data.info == DataInfo("out", 6, 16, 3, ("cat", "dog"), flip=True)
    assert validation.info == DataInfo("out-val", 1, 16, 3, ("cat", "dog"), flip=True)
    assert (data.labels().tolist(), validation.labels().tolist()) == ([0, 0, 0, 1, 1, 1], [1])
    np.testing.assert_array_equal(validation.load(0)[0], expected.load(0, 16)[0])


def test_a_domain_without_images_keeps_its_number(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", {f"{kind}/1.png": encoded(noise(9, 9)) for kind in ("cat", "yak")})
    (tmp_path / "set" / "dog").mkdir()
    prepare(open_path(tmp_path / "set"), tmp_path / "out.zip", [8])
    assert read_archive(tmp_path / "out.zip")[1] == [0, 2]
    assert open_path(tmp_path / "out.zip").info.domains == ("cat", "dog", "yak")


@pytest.mark.parametrize("domains", [True, False])
def test_images_without_labels(tmp_path: Path, domains: bool) -> None:
    source = (
        pets(tmp_path / "set")
        if not domains
        else open_path(write_folder(tmp_path / "set", {"1.png": encoded(noise())}))
    )
    prepare(source if domains else with_labels(source, "none"), tmp_path / "out.zip", [4])
    assert read_archive(tmp_path / "out.zip")[1] is None
    assert open_path(tmp_path / "out.zip").info.domains == ()


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    prepare(NumberedDataset(3), tmp_path / "out.zip", [4])
    images, labels = read_archive(tmp_path / "out.zip")
    assert labels is None
    assert [image.shape for image in images] == [(4, 4)] * 3
    assert [image[0, 0] for image in images] == [0, 1, 2]
    assert open_path(tmp_path / "out.zip").info.channels == 1


def test_attributes_become_lists_of_numbers(tmp_path: Path) -> None:
    files = {f"{index}.png": encoded(noise(8, 8, seed=index)) for index in range(3)}
    rows = [[0.5, -1.0], [0.25, 2.0], [1.0, 3.0]]
    described = {"labels": [[name, row] for name, row in zip(files, rows)]}
    write_zip(tmp_path / "set.zip", {**files, "1.png": b"damaged", "dataset.json": json.dumps(described).encode()})
    source = open_path(tmp_path / "set.zip")
    summary = prepare(source, tmp_path / "out.zip", [8])
    assert len(summary.bad) == 1
    assert read_archive(tmp_path / "out.zip")[1] == [rows[0], rows[2]]
    assert open_path(tmp_path / "out.zip").attributes().tolist() == [rows[0], rows[2]]


def test_unreadable_images_are_left_out_and_listed(tmp_path: Path) -> None:
    source = pets(tmp_path / "set")
    (tmp_path / "set" / "train" / "cat" / "1.png").write_bytes(b"text")
    summary = prepare(source, tmp_path / "out.zip", [8])
    assert (summary.count, len(summary.bad)) == (5, 1)
    assert "train/cat/1.png" in summary.bad[0]
    images, labels = read_archive(tmp_path / "out.zip")
    assert labels == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(images[1], crop_and_resize(source.load(2)[0], 8))


def test_a_new_folder_begins_after_a_thousand_images() -> None:
    assert [image_name(number) for number in (0, 999, 1000, 12345678)] == [
        "00000/img00000000.png",
        "00000/img00000999.png",
        "00001/img00001000.png",
        "12345/img12345678.png",
    ]


def test_equal_images_give_equal_archives_with_any_number_of_processes(tmp_path: Path) -> None:
    files = {f"{index:02}.png": encoded(noise(20, 20, seed=index)) for index in range(40)}
    source = open_path(write_folder(tmp_path / "set", files))
    for workers in (1, 2):
        prepare(source, tmp_path / f"{workers}.zip", [8], workers=workers)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


# Errors


@pytest.mark.parametrize("existing", ["out.zip", "out-val.zip"])
def test_existing_files_are_not_replaced(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"{existing}: already exists\. Delete it first"):
        prepare(pets(tmp_path / "set"), tmp_path / "out.zip", [8])
    with pytest.raises(DataError, match=rf"{existing}: already exists"):
        prepare(NumberedDataset(3), tmp_path / "out.zip", [4])
    assert (tmp_path / existing).read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [existing, "set"]


class Interrupted(NumberedDataset):
    """Is interrupted by Ctrl-C at the third image."""

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index == 2:
            raise KeyboardInterrupt
        return super().load(index, size)


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.data.preparing._check_space", lambda *_: None)  # it would load some of the images
    source = Interrupted(9)
    monkeypatch.setattr(source, "validation", lambda: NumberedDataset(2))
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "new" / "out.zip", [4], workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"domains": ["cat"]}, r"dataset\.json: the label of b\.png is 1, not 0 to 0"),
        ({"domains": ["cat", "cat"]}, r"dataset\.json: a domain is named twice"),
        ({"domains": 3}, r"dataset\.json: not"),
        ({"attributes": 3}, r"dataset\.json: not"),
        ([], r"dataset\.json: not"),
    ],
)
def test_damaged_names_of_domains_are_errors(tmp_path: Path, own: Any, message: str) -> None:
    files = {name: encoded(noise(8, 8)) for name in ("a.png", "b.png")}
    content = json.dumps({"labels": [["a.png", 0], ["b.png", 1]], "ganzoo": own}).encode()
    with pytest.raises(DataError, match=message):
        open_path(write_zip(tmp_path / "set.zip", {**files, "dataset.json": content}))


def test_damaged_names_of_attributes_are_errors(tmp_path: Path) -> None:
    content = json.dumps({"labels": [["a.png", [1, 2]]], "ganzoo": {"attributes": ["age", "age"]}}).encode()
    with pytest.raises(DataError, match=r"dataset\.json: 1 name for 2 attributes\."):
        open_path(write_zip(tmp_path / "set.zip", {"a.png": encoded(noise(8, 8)), "dataset.json": content}))


def test_validation_images_with_other_labels_are_an_error(tmp_path: Path) -> None:
    prepare(pets(tmp_path / "set"), tmp_path / "out.zip", [8])
    files = {"a.png": encoded(noise(8, 8)), "dataset.json": json.dumps({"labels": [["a.png", [0.5]]]}).encode()}
    write_zip(tmp_path / "out-val.zip", files)
    with pytest.raises(
        DataError, match=r"out-val\.zip: its domains \(none\) differ from those of out\.zip \(cat, dog\)"
    ):
        open_path(tmp_path / "out.zip").validation()
    write_zip(tmp_path / "other.zip", {**files, "dataset.json": json.dumps({"labels": [["a.png", [1, 2]]]}).encode()})
    (tmp_path / "out-val.zip").rename(tmp_path / "other-val.zip")
    with pytest.raises(
        DataError, match=r"other-val\.zip: its attributes \(0\) differ from those of other\.zip \(0, 1\)"
    ):
        open_path(tmp_path / "other.zip").validation()


def test_an_archive_without_a_label_file_is_not_for_validation(tmp_path: Path) -> None:
    prepare(NumberedDataset(3), tmp_path / "out.zip", [4])
    write_zip(tmp_path / "out-val.zip", {"1.png": encoded(noise(4, 4))})
    assert open_path(tmp_path / "out.zip").validation() is None


def test_what_else_is_known_of_the_images_is_in_a_metadata_file(tmp_path: Path) -> None:
    source = with_labels(Annotated(), "hair")
    prepare(source, tmp_path / "out.zip", [4])
    assert read_archive(tmp_path / "out.zip")[1] == [1, 0, 0, 2]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert rows[1] == {
        "file_name": "00000/img00000001.png",
        **{"hair": "black", "age": 4, "happy": False, "height": 1.5, "pose": [1.0, 2.0], "beard": None, "crowd": 0.25},
    }
    data = open_path(tmp_path / "out.zip")
    assert (data.info.domains, data.labelled_by) == (("black", "blond", "red"), "label")
    assert data.annotations()["age"] == [31, 4, 31, 100]
    assert with_labels(data, "pose").attributes().tolist() == KNOWN["pose"]
    assert describe_labels(data) == "labels: label; --labels also accepts hair, age, happy, height, pose, beard, crowd"


def test_an_annotation_that_would_name_other_images_is_said_to_be_lost(tmp_path: Path) -> None:
    lines = list[str]()
    source = Annotated({"mask_file_name": ["00000/img00000001.png"] * 2, "hair": ["red", "black"]})
    prepare(source, tmp_path / "out.zip", [4], say=lines.append)
    assert "the annotation 'mask_file_name' is not stored: in metadata.jsonl, it would name other images" in lines
    data = open_path(tmp_path / "out.zip")
    assert data.info.count == 2
    assert {**data.annotations()} == {"hair": ["red", "black"]}


def test_too_many_annotations_are_said_to_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_writer, "MAX_FILE_BYTES", 300)
    lines = list[str]()
    source = Annotated({"text": ["x" * 200, ""], "age": [1, 2]})
    prepare(source, tmp_path / "out.zip", [4], say=lines.append)
    assert "the annotation 'text' is not stored: metadata.jsonl would be too large" in lines
    assert {**open_path(tmp_path / "out.zip").annotations()} == {"age": [1, 2]}


def test_attributes_keep_their_names_and_are_lost_only_beside_domains(tmp_path: Path) -> None:
    lines = list[str]()
    prepare(Shades(count=3), tmp_path / "alone.zip", [8], say=lines.append)
    data = open_path(tmp_path / "alone.zip")
    assert data.info.attributes == ("bright", "age")
    assert data.attributes().tobytes() == Shades(count=3).attributes().tobytes()
    assert lines[:-1] == []
    prepare(Shades(count=3, domains=("a", "b")), tmp_path / "both.zip", [8], say=lines.append)
    assert (
        "the domains are stored, but not the attributes (bright, age): dataset.json has one or the other; use an LMDB "
        "or .parquet for both"
    ) in lines
    assert open_path(tmp_path / "both.zip").info.attributes == ()


def test_folders_that_only_limit_the_files_in_each_are_not_labels(tmp_path: Path) -> None:
    source = Annotated({"folder": ["cat", "dog"] * 501})
    prepare(source, tmp_path / "out.zip", [4], workers=1)
    data = open_path(tmp_path / "out.zip")
    assert len({Path(key).parent for key in data.storage.keys}) == 2  # type: ignore[attr-defined]
    assert data.annotations()["folder"] == ["cat", "dog"] * 501
