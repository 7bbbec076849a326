"""Tests of annotations and attributes in LMDBs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo import DataError, Dataset, OptionError, open_path, prepare, with_labels, write_lmdb
from ganzoo.data import lmdb_annotations
from ganzoo.data.labelling import describe_labels
from ganzoo.data.lmdb_annotations import annotation_entries, read_index, read_values
from tests.data.pictures import encoded, noise, write_folder
from tests.data.test_labelling import KNOWN, Annotated
from tests.support.shades import Shades

FILES = {f"{folder}/{index}.png": encoded(noise(8, 8, seed=index)) for index in range(3) for folder in ("cat", "dog")}
IMAGES = {index: encoded(noise(8, 8, seed=index)) for index in range(40)}
CSV = ("file_name,age,hair\n" + "".join(f"{name},{at},{'rb'[at % 2]}\n" for at, name in enumerate(FILES))).encode()


def stored(path: Path) -> dict[bytes, bytes]:
    with open_path(path).storage.env.begin() as transaction:  # type: ignore[attr-defined]
        return dict(transaction.cursor())


def prepared(source: Dataset, path: Path) -> Dataset:
    prepare(source, path, [8], workers=1)
    return open_path(path)


def test_all_annotations_are_kept_and_a_prepared_set_can_be_labelled_like_its_source(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {**FILES, "metadata.csv": CSV})
    source, data = open_path(root), prepared(open_path(root), tmp_path / "out.lmdb")
    assert data.labelled_by == "folder"
    assert {**data.annotations()} == {**source.annotations()}
    assert describe_labels(data) == "labels: folder; --labels also accepts age, hair"
    for labels in ("age", "age,", "hair", "folder", "none"):
        ours, theirs = open_path(tmp_path / "out.lmdb", labels=labels), open_path(root, labels=labels)
        assert (ours.info.domains, ours.info.attributes) == (theirs.info.domains, theirs.info.attributes)
        assert (ours.labels() == theirs.labels()).all()
        assert (ours.attributes() == theirs.attributes()).all()
        assert pickle.loads(pickle.dumps(ours)).load(3)[1] == theirs.labels()[3]
    again = prepared(open_path(tmp_path / "out.lmdb", labels="hair"), tmp_path / "again.lmdb")
    assert (again.info.domains, again.labelled_by) == (("b", "r"), "hair")
    assert {**again.annotations()} == {**source.annotations()}


def test_unreadable_images_have_no_annotations(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {**FILES, "metadata.csv": CSV, "cat/1.png": b""})
    data = prepared(open_path(root, labels="age,"), tmp_path / "out.lmdb")
    ages = [at for at, name in enumerate(FILES) if name != "cat/1.png"]
    assert sorted(data.annotations()["age"]) == ages
    assert data.attributes().reshape(-1).tolist() == data.annotations()["age"]


def test_attributes_are_kept_exactly_and_validation_images_have_the_same(tmp_path: Path) -> None:
    values = np.float32([[0.1, 1 / 3], [1e-30, -3e38], [16777217, 5]])

    class Numbers(Shades):
        def attributes(self) -> np.ndarray:
            return values

    data = prepared(Numbers(count=3), tmp_path / "out.lmdb")
    assert data.info.attributes == Shades().info.attributes
    assert data.attributes().tobytes() == values.tobytes()
    assert with_labels(data, "none").info.attributes == ()
    prepare(Numbers(count=3), tmp_path / "out-val.lmdb", [8], workers=1)
    validation = open_path(tmp_path / "out.lmdb").validation()
    assert validation is not None
    assert validation.attributes().tobytes() == values.tobytes()
    prepare(Numbers(count=3), tmp_path / "other.lmdb", [8], workers=1)
    write_lmdb(tmp_path / "other-val.lmdb", [encoded(noise(8, 8))], 8, {})
    with pytest.raises(DataError, match=r"its attributes \(none\) differ from those of other\.lmdb \(bright, age\)"):
        open_path(tmp_path / "other.lmdb").validation()


def test_an_lmdb_of_an_earlier_version_has_only_its_domains(tmp_path: Path) -> None:
    metadata = {"domains": ["cat", "dog"], "labels": [1, 0]}
    write_lmdb(tmp_path / "old.lmdb", [encoded(noise(8, 8, seed=seed)) for seed in range(2)], 8, metadata)
    data = open_path(tmp_path / "old.lmdb")
    assert {**data.annotations()} == {"label": ["dog", "cat"]}
    assert with_labels(data, "label") is data
    with pytest.raises(OptionError, match=r"has no labels 'hair'\. It accepts label, none\. If an earlier version"):
        with_labels(data, "hair")


def test_what_can_not_be_stored_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_annotations, "MAX_FILE_BYTES", 40)
    said: list[str] = []
    entries = annotation_entries(Annotated({"age": [1, 2], "text": ["x" * 40] * 2}), (), said.append)
    assert json.loads(entries[b"ganzoo-annotations"])["names"] == ["age"]
    assert said == ["an annotation is not stored: 'text' has 88 bytes; the limit is 40."]
    root = write_folder(tmp_path / "set", {**FILES, "metadata.csv": CSV + b"9.png,1,2\n"})
    assert annotation_entries(open_path(root), (), said.append) == {}
    assert said[1].startswith("annotations are not stored: ")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_subnormal=False), st.text(min_size=1)
)


@given(st.lists(st.one_of(VALUES, st.lists(st.integers())), min_size=1, max_size=5), st.text())
def test_values_are_stored_exactly(values: list[Any], name: str) -> None:
    entries = annotation_entries(Annotated({name: values}), (), pytest.fail)

    def get(key: bytes, limit: int) -> bytes | None:
        return entries.get(key)

    assert read_index(get) == ([name], "")
    found = read_values(get, 0, len(values))
    assert found == values
    assert [*map(type, found)] == [*map(type, values)]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (b"ganzoo-annotations", b"[]", "expected an object with 'names' and 'labelled_by'"),
        (b"ganzoo-annotations", b'{"names": [1], "labelled_by": ""}', "expected a list of names"),
        (b"ganzoo-annotations", b'{"names": ["a", "a"], "labelled_by": ""}', "a name occurs twice"),
        (b"ganzoo-annotations", b'{"names": ["a"], "labelled_by": ', "invalid metadata"),
        pytest.param(
            b"ganzoo-annotations", b'{"x": "' + bytes(1 << 20) + b'"}', "the limit is 1,048,576", id="huge names"
        ),
        (b"ganzoo-attributes", b"{}", "expected a list of names"),
        (b"ganzoo-attributes", b"[]", "16 bytes for 0 attributes of 4 images"),
        (b"ganzoo-attribute-values", b"1234", "4 bytes for 1 attributes of 4 images"),
        pytest.param(b"ganzoo-attribute-values", bytes(16004), "16,004 bytes; the limit is 16,000", id="huge values"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, key: bytes, value: bytes, problem: str) -> None:
    prepare(with_labels(Annotated(), "age,"), tmp_path / "out.lmdb", [8], workers=1)
    with lmdb.open(str(tmp_path / "out.lmdb")) as env, env.begin(write=True) as transaction:
        transaction.put(key, value)
    with pytest.raises(DataError, match=f"out.lmdb: a damaged LMDB: .*{problem}") as caught:
        open_path(tmp_path / "out.lmdb")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"[1, 2]", "2 values for 4 images"),
        (b"[1, 2, 3, {}]", "expected a list of values"),
        (b"[[1, 2", "invalid annotation 'hair'"),
        (None, "expected a list of values"),
    ],
)
def test_damaged_values_are_an_error_only_when_they_are_used(tmp_path: Path, value: bytes, problem: str) -> None:
    prepare(Annotated(), tmp_path / "out.lmdb", [8], workers=1)
    with lmdb.open(str(tmp_path / "out.lmdb")) as env, env.begin(write=True) as transaction:
        transaction.put(b"ganzoo-annotation-0", value) if value else transaction.delete(b"ganzoo-annotation-0")
    data = open_path(tmp_path / "out.lmdb")
    assert [*data.annotations()] == [*KNOWN]
    assert with_labels(data, "age").labels().tolist() == [1, 0, 1, 2]
    with pytest.raises(DataError, match=f"out.lmdb: a damaged LMDB: .*{problem}"):
        with_labels(data, "hair")


def test_unfinished_work_is_resumed_only_with_the_same_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "set", {f"{index % 2}/{index:02}.png": each for index, each in IMAGES.items()})
    source = open_path(root, labels="none")
    load, seen = source.load, list[int]()

    def interrupted(index: int) -> tuple[np.ndarray, int]:
        seen.append(index)
        if seen.count(39) == 2:  # the first time is for the estimate of disk space
            raise KeyboardInterrupt
        return load(index)

    monkeypatch.setattr(source, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out.lmdb", [8], workers=1)
    with pytest.raises(DataError, match=r"out\.lmdb\.preparing: contains an unfinished preparation with other labels"):
        prepare(open_path(root), tmp_path / "out.lmdb", [8], workers=1)
    assert prepare(open_path(root, labels="none"), tmp_path / "out.lmdb", [8], workers=1).count == 40
    assert open_path(tmp_path / "out.lmdb", labels="folder").labels().tolist() == [0] * 20 + [1] * 20


def test_labels_are_part_of_the_plan_of_an_unfinished_lmdb() -> None:
    from ganzoo.data.preparing import _Description

    plans = [
        _Description(data, (8,), False, None).plan
        for data in (Annotated(), with_labels(Annotated(), "age"), with_labels(Annotated(), "hair"))
    ]
    assert [plan.pop("labels", None) for plan in plans] == [None, "age", "hair"]
    assert plans[0] == plans[1] == plans[2]


def test_a_name_with_a_comma_can_be_chosen_again(tmp_path: Path) -> None:
    source = with_labels(Annotated({"a,b": ["x", "y"], "hair": ["red", "black"]}), "a,b")
    data = prepared(source, tmp_path / "out.lmdb")
    assert with_labels(with_labels(data, "hair"), "a,b").info.domains == ("x", "y")


def test_validation_images_of_a_set_without_labels_have_none(tmp_path: Path) -> None:
    files = {f"{split}/{kind}/1.png": encoded(noise()) for split in ("train", "val") for kind in ("cat", "dog")}
    prepare(open_path(write_folder(tmp_path / "set", files)), tmp_path / "out.lmdb", [8], workers=1)
    validation = open_path(tmp_path / "out.lmdb", labels="none").validation()
    assert validation is not None
    assert (validation.info.domains, validation.labelled_by) == ((), "")
