"""Tests of IDX files, the format of MNIST and its kin."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from ganzoo import DataError, DataInfo, open_path

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
LABELS = np.array([3, 7, 3, 9, 7, 3], np.uint8)


def idx(values: np.ndarray) -> bytes:
    """Encode an array of bytes as the format's description says."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    """Return a folder with the four files of Fashion-MNIST."""
    for name, count in (("train", 6), ("t10k", 2)):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:count])))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:count])))
    return tmp_path


def test_a_folder_has_training_and_validation_images(fashion: Path) -> None:
    data = open_path(fashion, "fashion")
    assert data.info == DataInfo("fashion", 6, 4, 1, ("3", "7", "9"))
    assert data.notes == ["IDX file train-images-idx3-ubyte.gz, labels from train-labels-idx1-ubyte.gz"]
    assert data.labels().tolist() == [0, 1, 0, 2, 1, 0]
    for index in range(6):
        image, label = data.load(index)
        assert (image[..., 0] == IMAGES[index]).all()
        assert label == data.labels()[index]
    validation = data.validation()
    assert validation is not None
    assert validation.info == DataInfo("fashion-val", 2, 4, 1, ("3", "7", "9"))
    assert validation.labels().tolist() == [0, 1]
    assert (validation.load(1)[0][..., 0] == IMAGES[1]).all()
    assert validation.validation() is None


def test_a_file_is_a_set_with_the_labels_beside_it(fashion: Path) -> None:
    data = open_path(fashion / "t10k-images-idx3-ubyte.gz")
    assert (data.info.count, data.info.domains, data.validation()) == (2, ("3", "7"), None)
    (fashion / "t10k-labels-idx1-ubyte.gz").unlink()
    without = open_path(fashion / "t10k-images-idx3-ubyte.gz")
    assert without.info.domains == ()
    assert without.notes == ["IDX file t10k-images-idx3-ubyte.gz, no file of labels beside it"]


@pytest.mark.parametrize("images", ["train-images.idx3-ubyte", "emnist-letters-train-images-idx3-ubyte"])
def test_plain_files_are_read_too(tmp_path: Path, images: str) -> None:
    (tmp_path / images).write_bytes(idx(IMAGES))
    (tmp_path / images.replace("images", "labels").replace("idx3", "idx1")).write_bytes(idx(LABELS))
    assert open_path(tmp_path / images).labels().tolist() == [0, 1, 0, 2, 1, 0]
    assert open_path(tmp_path).info.count == 6


def test_images_are_cropped_and_resized(fashion: Path) -> None:
    assert open_path(fashion).load(0, 8)[0].shape == (8, 8, 1)


def test_processes_open_the_files_again(fashion: Path) -> None:
    data = open_path(fashion)
    dumped = pickle.dumps(data)
    assert len(dumped) < 1000
    assert (pickle.loads(dumped).load(3)[0] == data.load(3)[0]).all()


def test_the_fingerprint_changes_with_the_file(fashion: Path) -> None:
    before = open_path(fashion).fingerprint()
    assert open_path(fashion).fingerprint() == before
    (fashion / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[::-1])))
    assert open_path(fashion).fingerprint() != before


def test_several_sets_in_a_folder_are_an_error_that_names_them(fashion: Path) -> None:
    (fashion / "letters-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(DataError, match=r"several sets of images \(letters-train-.*, t10k-.*, train-.*\)\. Give"):
        open_path(fashion)


HEADER = bytes([0, 0, 8, 3])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not an IDX file"),
        (b"images", "not an IDX file"),
        (HEADER + struct.pack(">3I", 6, 5, 4), "its header claims 120 bytes of values"),
        (HEADER + struct.pack(">3I", 1, 2, 3) + bytes(3), r"should have 6 values, but has only 3"),
        (idx(IMAGES)[:-1], r"should have 120 values, but has only 119"),
        (idx(IMAGES) + b"1", r"should have 120 values, but has more"),
        (HEADER + struct.pack(">3I", 2**31, 2**10, 2**10) + bytes(9), r"its header claims .* of values"),
        (HEADER + struct.pack(">3I", 0, 5, 4), "contains no images"),
        (idx(LABELS) + bytes(20), r"type 8 with 1 dimensions, instead of .* with 3"),
        (bytes([0, 0, 13, 3]) + bytes(30), r"type 13 with 3 dimensions"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-20], r"can't be read"),
        (gzip.compress(idx(IMAGES[:0]) + bytes(3), mtime=0), r"should have 0 values, but has more"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.*{problem}") as caught:
        open_path(path)
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_are_an_error(fashion: Path) -> None:
    (fashion / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:5])))
    with pytest.raises(DataError, match=r"train-labels.*: 5 labels for 6 images in train-images"):
        open_path(fashion)


def test_validation_labels_without_training_images_are_an_error(fashion: Path) -> None:
    (fashion / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([3, 4], np.uint8))))
    with pytest.raises(DataError, match=r"t10k-images.*image 1 has the label 4, which is none of 3, 7, 9"):
        open_path(fashion)


def test_the_labels_are_an_annotation(fashion: Path) -> None:
    data = open_path(fashion)
    assert (data.labelled_by, list(data.annotations()["label"])) == ("label", LABELS.tolist())
    attributes = open_path(fashion, labels="label,")
    assert attributes.attributes().tolist() == LABELS[:, None].tolist()
    assert attributes.notes == ["IDX file train-images-idx3-ubyte.gz"]
    validation = open_path(fashion, labels="none").validation()
    assert validation is not None
    assert validation.info.domains == ()
