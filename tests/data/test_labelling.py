"""Tests of `--labels`: labels that are chosen among what is known of the images."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo import DataError, Dataset, OptionError, open_path, with_fit, with_labels
from ganzoo.data.labelling import describe_labels
from ganzoo.data.labels import uniform_labels
from ganzoo.errors import PluginError, printable
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder

KNOWN: dict[str, Sequence[Any]] = {
    "hair": ["blond", "black", "black", "red"],
    "age": [31, 4, 31, 100],
    "happy": [True, False, False, True],
    "height": [1.75, 1.5, 2, -1e3],
    "pose": [[0.0, 1], [1.0, 2], [2.0, 3], [3.0, 4]],
    "beard": ["full", None, "none", None],
    "crowd": np.float32([0.5, 0.25, np.nan, 1]),
}


class Annotated(NumberedDataset):
    """Numbered images with annotations."""

    def __init__(self, known: Mapping[str, Sequence[Any]] = KNOWN, held_out: Dataset | None = None) -> None:
        super().__init__(len(next(iter(known.values()))))
        self.known, self.held_out = known, held_out

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        return self.known

    def validation(self) -> Dataset | None:
        return self.held_out


@pytest.mark.parametrize(
    ("name", "domains", "labels"),
    [
        ("hair", ("black", "blond", "red"), [1, 0, 0, 2]),
        ("age", ("4", "31", "100"), [1, 0, 1, 2]),
        (" happy ", ("false", "true"), [1, 0, 0, 1]),
    ],
)
def test_text_whole_numbers_and_truth_give_domains(name: str, domains: tuple[str, ...], labels: list[int]) -> None:
    data = with_labels(Annotated(), name)
    assert data.info.domains == domains
    assert data.info.attributes == ()
    assert data.labelled_by == name.strip()
    assert data.labels().tolist() == labels
    assert [data.load(index)[1] for index in range(4)] == labels
    assert data.load(3)[0][0, 0] == 3


@pytest.mark.parametrize(
    ("names", "attributes", "rows"),
    [
        ("height", ("height",), [[1.75], [1.5], [2], [-1e3]]),
        ("age,", ("age",), [[31], [4], [31], [100]]),
        ("happy, age", ("happy", "age"), [[1, 31], [0, 4], [0, 31], [1, 100]]),
        ("pose", ("pose.0", "pose.1"), KNOWN["pose"]),
        ("age,pose", ("age", "pose.0", "pose.1"), [[31, 0, 1], [4, 1, 2], [31, 2, 3], [100, 3, 4]]),
    ],
)
def test_other_numbers_and_several_names_give_attributes(names: str, attributes: tuple[str, ...], rows: Any) -> None:
    data = with_labels(Annotated(), names)
    assert data.info.attributes == attributes
    assert data.info.domains == ()
    assert data.attributes().dtype == np.float32
    assert (data.attributes() == np.array(rows, np.float32)).all()
    assert data.labels().tolist() == [0, 0, 0, 0]


@given(st.lists(st.one_of(st.text(min_size=1, max_size=3), st.integers(-5, 5), st.booleans()), min_size=1, max_size=9))
def test_equal_values_have_equal_labels_and_domains_are_different(values: list[Any]) -> None:
    data = with_labels(Annotated({"x": values}), "x")
    labels = data.labels().tolist()
    assert {*labels} == {*range(len(data.info.domains))}
    assert len({*data.info.domains}) == len(data.info.domains)
    assert [data.info.domains[label] for label in labels] == [printable(str(name)) for name in uniform_labels(values)]
    known = dict(zip(map(repr, values), labels))
    assert all(known[repr(value)] == label for value, label in zip(values, labels))


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("hiar", r"numbers has no labels 'hiar'\. Did you mean 'hair'\? It accepts hair, age, .*, none\."),
        ("age,heigth", r"has no labels 'heigth'\. Did you mean 'height'\?"),
        ("", r"has no labels ''\."),
        ("age,age", "'age' is named twice"),
        ("folder", "are not in folders that could be labels"),
        ("age,hair", r"the values of 'hair' are not numbers \(black, blond, red\).* Choose it alone, for domains"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(labels: str, problem: str) -> None:
    with pytest.raises(OptionError, match=problem) as caught:
        with_labels(Annotated(), labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([[1.0], [1.0, 2.0]], r"the lists of 'x' differ in length \(1, 2 numbers\)"),
        ([[], []], r"differ in length \(0 numbers\)"),
        ([0.5, 1e39], r"'x' of image 1 of numbers is 1e\+39, which is too large a number"),
        ([0.5, 10**400], "too large a number"),
        ([*range(1001)], r"1,001 different numbers are too many for domains .* Add a comma after the name"),
    ],
)
def test_values_that_can_be_no_labels_are_refused(values: list[Any], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        with_labels(Annotated({"x": values}), "x")


def test_images_without_a_value_are_counted_and_the_first_is_named() -> None:
    problem = "numbers: 2 of 4 images have no 'beard'; the first is image 1 of numbers."
    with pytest.raises(DataError, match=problem):
        with_labels(Annotated(), "beard")
    with pytest.raises(DataError, match="1 of 4 images has no 'crowd'; the first is image 2 of numbers"):
        with_labels(Annotated(), "age,crowd")
    with pytest.raises(DataError, match="1 of 2 images has no 'x'"):
        with_labels(Annotated({"x": ["", "a"]}), "x")


def test_a_plugin_whose_annotations_do_not_fit_is_named() -> None:
    with pytest.raises(PluginError, match=r"the annotation 'x' contains .*; values are text"):
        with_labels(Annotated({"x": [{}, 1]}), "x")
    data = Annotated({"x": [1, 2]})
    data.known = {"x": [1]}
    with pytest.raises(PluginError, match="the annotation 'x' has 1 value for 2 images"):
        with_labels(data, "x")


def test_validation_images_get_the_labels_of_the_training_images() -> None:
    held_out = Annotated({"hair": ["red", "black"], "age": [5, 6]})
    data = Annotated(held_out=held_out)
    validation = with_labels(data, "hair").validation()
    assert validation is not None
    assert validation.info.domains == ("black", "blond", "red")
    assert validation.labels().tolist() == [2, 0]
    attributes = with_labels(data, "age,").validation()
    assert attributes is not None
    assert attributes.attributes().tolist() == [[5], [6]]
    held_out.known = {"hair": ["red", "green"]}
    with pytest.raises(DataError, match="image 1 of numbers has the label green, which is none of black, blond, red"):
        with_labels(data, "hair").validation()
    with pytest.raises(DataError, match="no labels 'age', which the training images have"):
        with_labels(data, "age").validation()
    held_out.known = {"hair": [None, None]}
    assert with_labels(data, "hair").validation() is None


def test_no_labels_and_labels_after_others_work_for_every_data_set() -> None:
    data = with_labels(Annotated(), "hair")
    assert with_labels(data, "age").info.domains == ("4", "31", "100")
    plain = with_labels(data, "none")
    assert (plain.info.domains, plain.labelled_by) == ((), "")
    assert with_labels(plain, "hair").labels().tolist() == data.labels().tolist()


def test_a_labelled_set_can_be_pickled_and_its_fingerprint_depends_on_the_labels() -> None:
    found = [with_labels(Annotated(), name) for name in ("hair", "age", "age,", "hair")]
    prints = [data.fingerprint() for data in found]
    assert prints[0] == prints[3]
    assert len({*prints}) == 3
    again = pickle.loads(pickle.dumps(found[0]))
    assert (again.info, again.labels().tolist()) == (found[0].info, [1, 0, 0, 2])


def test_the_labels_of_a_set_are_described_in_a_line() -> None:
    everything = "age, happy, height, pose, beard, crowd"
    assert describe_labels(Annotated()) == f"--labels accepts hair, {everything}"
    assert describe_labels(with_labels(Annotated(), "hair")) == f"labels: hair; --labels also accepts {everything}"
    assert describe_labels(with_labels(Annotated({"x": [1, 2]}), "x")) == "labels: x"
    assert describe_labels(NumberedDataset(3)) is None


FILES = {f"{folder}/{index}.png": encoded(noise(8, 8, seed=index)) for index in range(3) for folder in ("cat", "dog")}


def test_folders_are_chosen_in_place_of_a_label_file(tmp_path: Path) -> None:
    labels = {"labels": [[name, index] for index, name in enumerate(FILES)]}
    root = write_folder(tmp_path / "set", {**FILES, "dataset.json": json.dumps(labels).encode()})
    data = open_path(root)
    assert (data.labelled_by, len(data.info.domains)) == ("label", 6)
    assert describe_labels(data) == "labels: label; --labels also accepts folder"
    for labelled in (open_path(root, labels="folder"), with_labels(data, "folder")):
        assert labelled.info.domains == ("cat", "dog")
        assert labelled.labels().tolist() == [0, 0, 0, 1, 1, 1]
        assert labelled.notes == []
    assert with_labels(open_path(root, labels="none"), "label").info.domains == data.info.domains
    assert open_path(root, labels="none").info.domains == ()


def test_attributes_of_a_label_file_are_chosen_by_the_name_label(tmp_path: Path) -> None:
    labels = {"labels": [[name, [index, 0.5]] for index, name in enumerate(FILES)]}
    root = write_folder(tmp_path / "set", {**FILES, "dataset.json": json.dumps(labels).encode()})
    for data in (open_path(root), open_path(root, labels="label"), with_labels(open_path(root), "label")):
        assert data.info.attributes == ("0", "1")
    assert with_labels(open_path(root, labels="none"), "label").info.attributes == ("label.0", "label.1")


def test_labels_do_not_change_what_folders_give_by_default(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {**FILES, "empty/x/y.txt": b""})
    (root / "empty" / "x" / "y.txt").unlink()
    default, chosen = open_path(root), open_path(root, labels="folder")
    assert default.info == chosen.info
    assert default.info.domains == ("cat", "dog", "empty")
    assert default.fingerprint() == chosen.fingerprint()
    assert (default.labelled_by, default.format) == ("folder", "folder")
    assert default.annotations() == {"folder": ["cat"] * 3 + ["dog"] * 3}
    assert open_path(root, labels="none").names() == default.names()


def test_labels_and_fit_work_together_in_either_order(tmp_path: Path) -> None:
    files = {name: encoded(noise(8, 6, seed=index)) for index, name in enumerate(FILES)}
    folder = open_path(write_folder(tmp_path / "set", files))
    for data, labels in ((folder, "folder"), (Annotated(), "hair")):
        for both in (with_fit(with_labels(data, labels), "pad"), with_labels(with_fit(data, "pad"), labels)):
            assert (both.info.fit, both.labelled_by) == ("pad", labels)
            assert both.labels().tolist() == with_labels(data, labels).labels().tolist()
            assert (both.load(1, 8)[0] == with_fit(data, "pad").load(1, 8)[0]).all()
            assert both.annotations() == data.annotations()


def test_labels_and_transparency_work_together_in_either_order(tmp_path: Path) -> None:
    files = {name: encoded(Image.new("RGBA", (8, 8), (index, 0, 0, 90))) for index, name in enumerate(FILES)}
    rows = "".join(f"{name},{index % 2}\n" for index, name in enumerate(files))
    data = open_path(write_folder(tmp_path / "set", {**files, "metadata.csv": f"file_name,x\n{rows}".encode()}))
    for both in (with_labels(data, "x").with_alpha(), with_labels(data.with_alpha(), "x")):
        assert (both.info.channels, both.info.domains) == (4, ("0", "1"))
        assert both.labels().tolist() == with_labels(data, "x").labels().tolist()
        assert both.load(0)[0].shape == (8, 8, 4)
