"""Tests of arrays of images saved by NumPy."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ganzoo import DataError, DataInfo, open_path

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (6, 5, 4), np.uint8), RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([1, 0, 1, 2, 0, 1])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[..., None]),
        (GREY[..., None], GREY[..., None]),
        (COLOUR, COLOUR),
        (np.asfortranarray(COLOUR), COLOUR),
        (COLOUR.transpose(0, 3, 1, 2).copy(), COLOUR),
        (GREY[:, None].copy(), GREY[..., None]),
    ],
)
def test_an_array_is_read_in_any_layout(tmp_path: Path, array: np.ndarray, expected: np.ndarray) -> None:
    np.save(tmp_path / "set.npy", array)
    data = open_path(tmp_path / "set.npy")
    assert data.info == DataInfo("set", 6, 4, expected.shape[3])
    assert all((data.load(index)[0] == expected[index]).all() for index in range(6))
    assert len(pickle.dumps(data)) < 1000
    assert (pickle.loads(pickle.dumps(data)).load(5)[0] == expected[5]).all()


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),  # Keras
        ("train_images", "train_labels", "val_images", "val_labels"),  # MedMNIST
        ("images", "labels", "images_val", "labels_val"),
        ("arr_0", "arr_1", "x_val", "y_val"),  # np.savez(file, images, labels)
    ],
)
def test_an_npz_has_labels_and_validation_images(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = dict(zip(names, (COLOUR, LABELS[:, None], COLOUR[:2], LABELS[:2])))
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    data = open_path(tmp_path / "set.npz")
    assert data.info == DataInfo("set", 6, 4, 3, ("0", "1", "2"))
    assert data.labels().tolist() == LABELS.tolist()
    assert data.notes == [f".npz of NumPy, images from {names[0]}, labels from {names[1]}"]
    assert (data.load(4)[0] == COLOUR[4]).all()
    validation = data.validation()
    assert validation is not None
    assert validation.labels().tolist() == [1, 0]
    assert (pickle.loads(pickle.dumps(validation)).load(1)[0] == COLOUR[1]).all()


def test_with_test_and_validation_images_the_latter_are_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", train_images=GREY, test_images=GREY[:1], val_images=GREY[:2])
    validation = open_path(tmp_path / "set.npz").validation()
    assert validation is not None
    assert len(validation) == 2


def test_a_single_array_may_have_any_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", faces=COLOUR)
    assert open_path(tmp_path / "set.npz").info.count == 6


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, zipfile.ZIP_DEFLATED)  # without the time
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


WHOLE = saved(COLOUR)
LYING = header((6, 5, 4, 333333333333)) + COLOUR.tobytes()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("set.npy", b"", "not an array of NumPy"),
        ("set.npy", WHOLE[:-1], "its length differs from that in its header"),
        ("set.npy", LYING, "its length differs from that in its header"),
        ("set.npy", WHOLE + b"1", "its length differs from that in its header"),
        ("set.npy", saved(COLOUR.astype("f4")), r"an array of float32, \(6, 5, 4, 3\)\. Images are an array of uint8"),
        ("set.npy", saved(np.array([{}, {}])), "holds Python objects, which could run code"),
        ("set.npy", saved(COLOUR[0, 0]), r"an array of uint8, \(4, 3\)"),
        ("set.npy", saved(COLOUR[:0]), "contains no images"),
        ("set.npy", saved(COLOUR[:, :0]), "contains no images"),
        ("set.npz", b"", r"not a readable \.npz"),
        ("set.npz", zipped(images=WHOLE)[:-30], r"not a readable \.npz"),
        ("set.npz", zipped(images=LYING), "its length differs from that in its header"),
        ("set.npz", zipped(images=WHOLE, labels=saved(LABELS[:5])), "labels has 5 labels for 6 images"),
        ("set.npz", zipped(images=WHOLE, labels=saved(LABELS / 2)), "labels is an array of float64.*not whole"),
        ("set.npz", zipped(images=WHOLE, labels=saved(np.array([{}] * 6))), "holds Python objects"),
        ("set.npz", zipped(a=WHOLE, b=WHOLE), r"no array named like images \(a, b\)"),
        ("set.npz", zipped(), r"no array named like images \(it is empty\)"),
        ("set.npz", zipped(x_train=WHOLE, x_test=saved(GREY)), "images have 1 channel, but the training images 3"),
    ],
)  # fmt: skip
def test_damage_is_one_clear_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*{problem}") as caught:
        open_path(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_too_many_labels_for_domains_are_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((1001, 2, 2), np.uint8), labels=np.arange(1001))
    with pytest.raises(DataError, match="1,001 different labels are too many"):
        open_path(tmp_path / "set.npz")


def test_arrays_with_a_row_for_each_image_are_annotations(tmp_path: Path) -> None:
    arrays = {
        "x_train": COLOUR,
        "y_train": LABELS[:, None],
        "hair_train": np.array(["r", "g", "b", "r", "g", "b"]),
        "pose_train": np.arange(12.0).reshape(6, 2),
        "mask_train": GREY,
        "mean_train": np.zeros(3),
        "objects_train": np.array([{}] * 6, object),
        "x_test": COLOUR[:2],
        "y_test": LABELS[:2],
        "hair_test": np.array(["g", "b"]),
    }
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    data = open_path(tmp_path / "set.npz")
    assert data.labelled_by == "y"
    assert {**data.annotations()} == {
        "y": LABELS.tolist(),
        "hair": ["r", "g", "b", "r", "g", "b"],
        "pose": np.arange(12.0).reshape(6, 2).tolist(),
    }
    by_hair = open_path(tmp_path / "set.npz", labels="hair")
    assert by_hair.info.domains == ("b", "g", "r")
    assert by_hair.notes == [".npz of NumPy, images from x_train"]
    validation = by_hair.validation()
    assert validation is not None
    assert validation.labels().tolist() == [1, 0]
    assert pickle.loads(pickle.dumps(by_hair)).validation().load(0)[1] == 1
    with pytest.raises(DataError, match="no labels 'pose', which the training images have"):
        open_path(tmp_path / "set.npz", labels="pose").validation()
    for plain in (open_path(tmp_path / "set.npz", labels="none"), data.unlabelled()):  # type: ignore[attr-defined]
        assert plain.info.domains == plain.validation().info.domains == ()


def test_labels_that_can_be_no_domains_do_not_matter_if_others_are_chosen(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=GREY, labels=np.eye(6), age=LABELS)
    with pytest.raises(DataError, match=r"labels has 36 labels for 6 images\. For attributes, use --labels labels, \("):
        open_path(tmp_path / "set.npz")
    assert open_path(tmp_path / "set.npz", labels="age").info.domains == ("0", "1", "2")
    assert open_path(tmp_path / "set.npz", labels="labels,age").attributes().shape == (6, 7)


def test_validation_labels_without_training_labels_are_not_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=COLOUR, x_test=COLOUR[:3], y_test=np.arange(3))
    validation = open_path(tmp_path / "set.npz").validation()
    assert validation is not None
    assert validation.labels().tolist() == [validation.load(index)[1] for index in range(3)] == [0, 0, 0]


def test_text_gives_domains(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=GREY, labels=np.array(["red", "ø", "red", "b", "b", "ø"]))
    data = open_path(tmp_path / "set.npz")
    assert data.info.domains == ("b", "red", "ø")
    assert data.labels().tolist() == [1, 2, 1, 0, 0, 2]


def test_an_empty_array_for_validation_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=GREY, y_train=LABELS, x_test=GREY[:0], y_test=LABELS[:0])
    assert open_path(tmp_path / "set.npz").validation() is None


def test_a_validation_label_without_training_images_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=GREY, y_train=LABELS, x_test=GREY[:1], y_test=np.array([7]))
    with pytest.raises(DataError, match=r"set\.npz: validation image 0 has the label 7, which is none of 0, 1, 2"):
        open_path(tmp_path / "set.npz")
