"""Tests of annotations in zip archives and Parquet files that `ganzoo data prepare` writes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganzoo import Dataset, open_path, prepare, with_labels
from ganzoo.data.annotation_columns import annotation_columns, free_name
from ganzoo.data.annotations import are_classes
from ganzoo.data.labels import uniform_labels, values_of_names
from tests.data.test_labelling import Annotated
from tests.support.packages import needs_pyarrow
from tests.support.shades import Shades

SUFFIXES = [".zip", pytest.param(".parquet", marks=needs_pyarrow)]
COUNT = 3
WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
NUMBER = st.floats(allow_nan=False, allow_subnormal=False)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1)
KINDS = [TEXT, st.booleans(), WHOLE, NUMBER, st.lists(WHOLE), st.lists(NUMBER, min_size=1)]
COLUMN = st.one_of([st.lists(st.none() | kind, min_size=COUNT, max_size=COUNT) for kind in KINDS])
# Not `folder` and names of images, which mean something in a folder or zip archive.
NAME = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: "f" not in name)
ANY = st.one_of(st.none(), st.booleans(), st.integers(), NUMBER, st.text(), st.lists(st.integers() | NUMBER))


def stored(source: Dataset, suffix: str) -> Dataset:
    """Return a data set after its preparation."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(source, Path(folder) / f"out{suffix}", [4], workers=1)
        data = open_path(Path(folder) / f"out{suffix}")
        known = {name: list(values) for name, values in data.annotations().items()}
    data.annotations = lambda: known  # type: ignore[method-assign]
    return data


def typed(known: Any) -> Any:
    """Return annotations with the types of their values."""
    return {name: [(type(value), value) for value in values] for name, values in known.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(known=st.dictionaries(NAME, COLUMN, min_size=1, max_size=4))
def test_annotations_of_any_type_come_back_equal(suffix: str, known: dict[str, list[Any]]) -> None:
    assert typed(stored(Annotated(known), suffix).annotations()) == typed(known)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(values=st.lists(ANY, min_size=COUNT, max_size=COUNT))
@example(values=[None, False, 2**63])
def test_values_of_several_types_name_the_same_domains(suffix: str, values: list[Any]) -> None:
    expected = [None if value == "" else value for value in values]
    found = stored(Annotated({"mixed": values}), suffix).annotations()["mixed"]
    assert [value is None for value in found] == [value is None for value in expected]
    if are_classes([value for value in expected if value is not None]):
        names = [str(value).encode("utf-8", "backslashreplace").decode() for value in uniform_labels(expected)]
        assert [str(value) for value in uniform_labels(found)] == names


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("labels", ["hair", "age", "happy", "age,", "happy,age", "pose", "none"])
def test_a_prepared_set_can_be_labelled_like_its_source(suffix: str, labels: str) -> None:
    source = with_labels(Annotated(), labels)
    data = stored(source, suffix)
    assert (data.info.domains, data.info.attributes) == (source.info.domains, source.info.attributes)
    assert data.labels().tolist() == source.labels().tolist()
    assert data.attributes().tobytes() == source.attributes().tobytes()
    for name in ("hair", "age", "happy", "age,", "happy,age", "pose", "none"):
        ours, theirs = with_labels(data, name), with_labels(source, name)
        assert (ours.info.domains, ours.info.attributes) == (theirs.info.domains, theirs.info.attributes)
        assert ours.labels().tolist() == theirs.labels().tolist()
        assert ours.attributes().tobytes() == theirs.attributes().tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "values", [["red", "black", "red"], [10, 9, 10], [True, False, True], [[0.5], [0.25], [1.0]], [[1], [2], [3]]]
)
def test_an_annotation_that_says_what_the_labels_say_is_stored_once(suffix: str, values: Sequence[Any]) -> None:
    source = with_labels(Annotated({"label": values}), "label")
    data = stored(source, suffix)
    assert data.labelled_by == "label"
    assert {**data.annotations()} == {"label": values}
    assert (data.info.domains, data.info.attributes) == (source.info.domains, source.info.attributes)
    assert data.labels().tolist() == source.labels().tolist()
    assert data.attributes().tolist() == source.attributes().tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_have_another_name_beside_an_annotation_called_label(suffix: str) -> None:
    known = {"label": ["a", "b"], "hair": ["red", "black"], "age": [1, 2]}
    data = stored(with_labels(Annotated(known), "hair"), suffix)
    assert (data.labelled_by, data.info.domains) == ("hair", ("black", "red"))
    assert {**data.annotations()} == known
    data = stored(with_labels(Annotated(known), "age,"), suffix)
    assert (data.labelled_by, data.info.attributes) == ("label_2", ("age",))
    assert {**data.annotations()} == {**known, "label_2": [[1.0], [2.0]]}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_belongs_to_unreadable_images_is_left_out(suffix: str) -> None:
    class Damaged(Shades):
        def annotations(self) -> dict[str, list[Any]]:
            return {"hair": ["red", "black", "grey", "blond"]}

    data = stored(Damaged(count=4, unreadable=[1]), suffix)
    assert data.annotations()["hair"] == ["red", "grey", "blond"]
    assert data.attributes().tolist() == np.delete(Damaged(count=4).attributes(), 1, 0).tolist()


def test_training_and_validation_images_have_the_same_columns() -> None:
    training = Annotated({"age": [1, 2], "hair": ["red", None], "size": [1, 2]})
    validation = Annotated({"age": [0.5], "weight": [70], "size": [None]})
    found = [columns.columns for columns in annotation_columns([training, validation], pytest.fail)]
    assert found[0] == {
        "age": ("float64", False, [1.0, 2.0]),
        "hair": ("string", False, ["red", None]),
        "size": ("int64", False, [1, 2]),
        "weight": ("int64", False, [None, None]),
    }
    assert found[1] == {
        "age": ("float64", False, [0.5]),
        "hair": ("string", False, [None]),
        "size": ("int64", False, [None]),
        "weight": ("int64", False, [70]),
    }


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (
            {"mixed": ["a", 1]},
            "the annotation 'mixed' is stored as text, since no other type holds all its values",
        ),
        ({"short": [1]}, "an annotation is not stored: numbers: the annotation 'short' has 1 value for 2 images."),
    ],
)
def test_what_can_not_be_stored_as_it_is_is_reported(known: dict[str, Any], line: str) -> None:
    lines = list[str]()
    annotation_columns([Annotated({"age": [1, 2], **known})], lines.append)
    assert lines == [line]


def test_names_that_are_taken_get_a_number() -> None:
    assert [free_name("label", taken) for taken in ([], ["label"], ["label", "label_2"])] == [
        "label",
        "label_2",
        "label_3",
    ]


@given(st.one_of([st.lists(kind, min_size=1) for kind in (st.booleans(), st.integers(-(10**18), 10**18), TEXT)]))
def test_names_of_domains_tell_the_values_that_gave_them(values: list[Any]) -> None:
    names = [str(value) for value in uniform_labels(values)]
    found = values_of_names(names)
    assert uniform_labels(found) == uniform_labels(values) or all(isinstance(value, str) for value in values)
    if not isinstance(values[0], str):
        assert found == values
