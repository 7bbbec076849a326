from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from ganzoo_datasets import mnist
from ganzoo_datasets.mnist import IMAGES, LABELS, MNIST

from ganzoo import DataError, Dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return MNIST().open()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two digits, in place of the package jittor-offline."""
    (tmp_path / IMAGES).write_bytes(gzip.compress(bytes(16) + bytes(range(256)) * 3 + bytes(2 * 28 * 28 - 3 * 256)))
    (tmp_path / LABELS).write_bytes(gzip.compress(bytes(8) + bytes([7, 2])))
    monkeypatch.setattr(mnist, "_folder", lambda: tmp_path)
    return tmp_path


def test_there_are_60000_digits_of_28_px(digits: Dataset) -> None:
    assert MNIST().ready()
    assert (digits.info.count, digits.info.size, digits.info.channels) == (60_000, 28, 1)
    assert digits.info.domains == tuple("0123456789")  # the class names; every digit is a domain of its own
    assert digits.info.flip is False


def test_digits_look_like_their_labels(digits: Dataset) -> None:
    loaded = [digits.load(index) for index in range(2000)]
    assert [label for _, label in loaded[:8]] == [5, 0, 4, 1, 9, 2, 1, 3]  # as in every copy of MNIST
    assert all(image.shape == (28, 28, 1) and image.dtype == np.uint8 for image, _ in loaded)
    middle = {label: np.mean([image[10:18, 12:16] for image, digit in loaded if digit == label]) for label in (0, 1)}
    assert middle[0] < 60 < 150 < middle[1]  # a zero is empty where a one has its stroke


def test_pixels_and_labels_come_from_the_files(folder: Path) -> None:
    data = MNIST().open()
    assert data.info.count == 2
    assert data.load(0)[0].ravel()[:300].tolist() == [index % 256 for index in range(300)]
    assert [data.load(index)[1] for index in range(2)] == [7, 2]


def test_a_missing_package_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "_folder", lambda: None)
    assert not MNIST().ready()
    with pytest.raises(DataError, match="ganzoo doctor"):
        MNIST().open()


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_missing_file_is_an_error(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert not MNIST().ready()
    with pytest.raises(DataError, match="ganzoo doctor"):
        MNIST().open()


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped"])
def test_the_error_names_a_damaged_file(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    intact = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "cut": intact[:-12],
            "text": b"no archive",
            "flipped": intact[:12] + bytes(byte ^ 255 for byte in intact[12:20]) + intact[20:],
        }[damage]
    )
    with pytest.raises(DataError, match=f"{name} is damaged .* Reinstall jittor-offline"):
        MNIST().open()


@pytest.mark.parametrize(("name", "missing"), [(IMAGES, 1), (IMAGES, 28 * 28), (LABELS, 1), (LABELS, 2)])
def test_images_and_labels_of_different_counts_are_an_error(folder: Path, name: str, missing: int) -> None:
    (folder / name).write_bytes(gzip.compress(gzip.decompress((folder / name).read_bytes())[:-missing]))
    with pytest.raises(DataError, match=r"labels don't fit the images .* Reinstall jittor-offline"):
        MNIST().open()
