"""Tests of the metadata files of imagefolders, in folders and zip archives."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganzoo import DataError, open_path
from ganzoo.data.labelling import describe_labels
from tests.data.pictures import encoded, noise, write_folder, write_zip
from tests.support.packages import needs_pyarrow

Write = Callable[[dict[str, bytes]], Path]
IMAGES = {f"{index}.png": encoded(noise(8, 8, seed=index)) for index in range(4)}
COLUMNS = {"hair": ["black", "blond", "black", "red"], "age": [31, 4, 31, 100], "tall": [1.5, 2.0, 1.75, 1.0]}
ROWS = [{"file_name": name, **{key: each[at] for key, each in COLUMNS.items()}} for at, name in enumerate(IMAGES)]


@pytest.fixture(params=["folder", "zip"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    if request.param == "folder":
        return lambda files: write_folder(tmp_path / "set", files)
    return lambda files: write_zip(tmp_path / "set.zip", files)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    lines = [list(rows[0]), *(["" if value is None else str(value) for value in row.values()] for row in rows)]
    return "".join(",".join(line) + "\r\n" for line in lines).encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


KINDS = {"metadata.csv": as_csv, "metadata.jsonl": as_jsonl, "metadata.parquet": as_parquet}
KIND_PARAMS = ["metadata.csv", "metadata.jsonl", pytest.param("metadata.parquet", marks=needs_pyarrow)]


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize("kind", KIND_PARAMS)
@pytest.mark.parametrize("folder", ["", "faces/"])
def test_columns_are_annotations_in_the_order_of_the_images(write: Write, kind: str, folder: str) -> None:
    rows = KINDS[kind](ROWS[::-1])
    data = open_path(write({f"{folder}{name}": each for name, each in {**IMAGES, kind: rows}.items()}))
    assert data.info.domains == ()
    assert data.notes == []
    assert data.ignored_files is None
    known = data.annotations()
    assert {name: known[name] for name in COLUMNS} == COLUMNS
    assert describe_labels(data) == "--labels accepts hair, age, tall"


@pytest.mark.parametrize("kind", KIND_PARAMS)
def test_a_column_label_gives_the_domains(write: Write, kind: str) -> None:
    rows = [{"file_name": f"x/{name}", "label": at % 2 + 9} for at, name in enumerate(IMAGES)]
    files = {**below("x", IMAGES), kind: KINDS[kind](rows)}
    path = write({**files, "y/9.png": IMAGES["0.png"]})
    with pytest.raises(DataError, match=r"set.*: 1 of 5 images has no 'label'; the first is .*y/9\.png\."):
        open_path(path)
    assert open_path(path, labels="folder").info.domains == ("x", "y")
    path.unlink() if path.is_file() else (path / "y" / "9.png").unlink()
    data = open_path(write(files))
    assert data.info.domains == ("9", "10")
    assert data.labels().tolist() == [0, 1, 0, 1]
    assert [data.load(index)[1] for index in range(4)] == [0, 1, 0, 1]
    assert data.notes == [f"{kind} gives the labels, in its column label"]
    assert data.labelled_by == "label"
    assert pickle.loads(pickle.dumps(data)).labels().tolist() == [0, 1, 0, 1]
    assert data.unlabelled().notes == []  # type: ignore[attr-defined]


def test_a_column_label_of_other_numbers_leaves_the_domains_to_folders(write: Write) -> None:
    rows = [{"file_name": f"{folder}/{name}", "label": at / 2} for folder in "ab" for at, name in enumerate(IMAGES)]
    data = open_path(write({**below("a", IMAGES), **below("b", IMAGES), "metadata.csv": as_csv(rows)}))
    assert (data.info.domains, data.labelled_by) == (("a", "b"), "folder")
    assert describe_labels(data) == "labels: folder; --labels also accepts label"


def test_each_split_may_have_a_file_of_its_own(write: Write) -> None:
    train, test = (as_csv([{**row, "label": row["hair"]} for row in rows]) for rows in (ROWS, ROWS[:1]))
    files = {**below("train", {**IMAGES, "metadata.csv": train}), "test/0.png": IMAGES["3.png"]}
    data = open_path(write(files))
    assert data.info.domains == ("black", "blond", "red")
    assert data.validation() is None  # its images have no labels
    assert open_path(write(files), labels="none").validation() is not None
    data = open_path(write({**files, "test/metadata.csv": test}))
    validation = data.validation()
    assert validation is not None
    assert validation.info.domains == data.info.domains
    assert validation.labels().tolist() == [0]
    assert validation.load(0)[1] == 0
    assert (validation.annotations()["age"], validation.labelled_by) == ([31], "label")
    ages = open_path(write({**files, "test/metadata.csv": test}), labels="age,tall").validation()
    assert ages is not None
    assert ages.attributes().tolist() == [[31, 1.5]]


def test_validation_folders_may_differ_if_the_labels_are_not_the_folders(write: Write) -> None:
    files = {**below("train/a", IMAGES), **below("train/b", IMAGES), **below("val/c", IMAGES)}
    rows = [{"file_name": name, "label": int(name[-5]) % 2} for name in files]
    path = write({**files, "metadata.csv": as_csv(rows)})
    validation = open_path(path).validation()
    assert validation is not None
    assert validation.labels().tolist() == [0, 1, 0, 1]
    assert "folder" not in validation.annotations()
    with pytest.raises(DataError, match="not a domain of the training images"):
        open_path(path, labels="folder").validation()


def test_the_file_of_an_inner_folder_has_precedence(write: Write) -> None:
    outer = as_csv([{"file_name": f"x/{name}", "age": 1} for name in IMAGES])
    inner = as_csv([{"file_name": "2.png", "age": 7}])
    data = open_path(write({**below("x", IMAGES), "metadata.csv": outer, "x/metadata.csv": inner}))
    assert data.annotations()["age"] == [1, 1, 7, 1]


def test_images_without_a_row_and_empty_values_have_no_annotation(write: Write) -> None:
    rows = as_csv([{**ROWS[0], "age": None}, ROWS[2]])
    data = open_path(write({**IMAGES, "metadata.csv": rows}))
    assert data.annotations() == {
        "hair": ["black", None, "black", None],
        "age": [None, None, 31, None],
        "tall": [1.5, None, 1.75, None],
    }
    with pytest.raises(DataError, match=r"3 of 4 images have no 'age'; the first is .*0\.png"):
        open_path(data.path, labels="age")  # type: ignore[attr-defined]


def test_other_images_of_a_row_are_not_in_the_set(write: Write) -> None:
    rows = [{"file_name": name, "mask_file_name": f"masks/{name}", "age": 1} for name in IMAGES]
    data = open_path(write({**IMAGES, **below("masks", IMAGES), "metadata.csv": as_csv(rows)}))
    assert data.info.count == 4
    assert list(data.annotations()) == ["age"]


def test_lists_of_other_images_of_a_row_are_not_in_the_set(write: Write) -> None:
    rows = [{"file_name": name, "views_file_names": [f"v/{name}"], "age": 1} for name in IMAGES]
    data = open_path(write({**IMAGES, **below("v", IMAGES), "metadata.jsonl": as_jsonl(rows)}))
    assert data.info.count == 4
    assert list(data.annotations()) == ["age"]


def test_without_a_table_that_can_not_be_read_its_other_images_are_used_and_a_note_says_so(write: Write) -> None:
    rows = [{"file_name": name, "mask_file_name": f"masks/{name}"} for name in [*IMAGES, "missing.png"]]
    path = write({**IMAGES, **below("masks", IMAGES), "metadata.csv": as_csv(rows)})
    with pytest.raises(
        DataError, match=r"1 row without an image.*To do without this file, use --labels folder or none"
    ):
        open_path(path)
    data = open_path(path, labels="none")
    assert data.info.count == 8
    (note,) = data.notes
    assert "1 row without an image" in note
    assert note.endswith("So it is ignored, and images in columns for other images are used too")


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-2", "+3", "007"], [1, -2, 3, 7]),
        (["1", "2.5", "1e3", ".5"], [1.0, 2.5, 1000.0, 0.5]),
        (["true", "False", "TRUE", "false"], [True, False, True, False]),
        (["1", "x", "2", "1_000"], ["1", "x", "2", "1_000"]),
        (["1", "9" * 30, "2", "3"], [1.0, 1e30, 2.0, 3.0]),
    ],
)
def test_a_column_of_a_csv_has_the_type_of_all_its_values(tmp_path: Path, texts: list[str], values: list[Any]) -> None:
    rows = as_csv([{"file_name": name, "x": text} for name, text in zip(IMAGES, texts)])
    found = open_path(write_folder(tmp_path / "set", {**IMAGES, "metadata.csv": rows})).annotations()["x"]
    assert found == values
    assert [*map(type, found)] == [*map(type, values)]


def test_texts_of_json_remain_texts_and_nested_entries_are_ignored(tmp_path: Path) -> None:
    rows = [{"file_name": name, "x": "1", "pose": [1, 2.5], "box": {"a": 1}, "tags": ["a"]} for name in IMAGES]
    data = open_path(write_folder(tmp_path / "set", {**IMAGES, "metadata.jsonl": as_jsonl(rows)}))
    assert data.annotations() == {"x": ["1"] * 4, "pose": [[1, 2.5]] * 4}


def test_quotes_line_breaks_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    content = '\ufefffile_name,"a ""b"""\n0.png,"x\ny, z"\n\n1.png,w\n'.encode()
    data = open_path(write_folder(tmp_path / "set", {**IMAGES, "metadata.csv": content}))
    assert data.annotations() == {'a "b"': ["x\ny, z", "w", None, None]}


def test_another_file_of_that_name_is_ignored_with_a_note(write: Write) -> None:
    data = open_path(write({**IMAGES, "metadata.csv": b"name,age\n0.png,3\n"}))
    assert data.notes == ["metadata.csv has no column file_name (name, age), so it is ignored"]
    assert data.ignored_files == "1 other file ignored (.csv)"
    assert data.annotations() == {}


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        ("csv", b"file_name,age\n0.png,3\n1.png", r"line 3 has 1 values for 2 columns; is the file cut off\?"),
        ("csv", b'file_name,age\n0.png,3\n1.png,"4', r"line 3: unexpected end of data; is the file cut off\?"),
        ("csv", b"file_name,age\n0.png,\xff\n", r"not UTF-8 text \(byte 20\)\. Save it as UTF-8"),
        ("csv", b"file_name,age,age\n0.png,1,2\n", "two columns have the same name"),
        ("csv", b"file_name,age\n,1\n", "line 2 has no file_name"),
        ("csv", b"file_name,age\n../0.png,1\n", r"line 2: file_name '\.\./0\.png' is outside the folder"),
        ("csv", b"file_name,age\n/etc/0.png,1\n", r"line 2: file_name '/etc/0\.png' is outside the folder"),
        ("csv", b"file_name,age\n0.png,1\n./0.png,2\n", r"line 3: file_name '\./0\.png' has a row already"),
        (
            "csv",
            b"file_name,age\n0.png,1\n8.png,2\n9.png,2\n",
            r"2 rows without an image; the first is line 3: file_name '8\.png'",
        ),
        ("jsonl", b'{"file_name": "0.png"}\n{"file_na', r"line 2 is not JSON \(.*\); is the file cut off\?"),
        ("jsonl", b'{"file_name": "0.png"}\n[1]\n', "line 2 is not a JSON object"),
        ("jsonl", b'{"file_name": "0.png"}\n{"age": 3}\n', "line 2 has no file_name"),
    ],
)
def test_damage_is_one_clear_line_and_does_not_matter_for_other_labels(
    write: Write, kind: str, content: bytes, problem: str
) -> None:
    path = write({**IMAGES, f"metadata.{kind}": content})
    with pytest.raises(DataError, match=rf"set(\.zip)?/metadata\.{kind}.*{problem}") as caught:
        open_path(path, labels="age")
    assert "\n" not in str(caught.value)
    assert open_path(path).info.count == 4
    assert str(describe_labels(open_path(path))).startswith("other labels can't be read: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [("metadata.csv", b"file_n\xffame,age\n"), ("metadata.jsonl", b"{"), ("metadata.parquet", b"PAR1")],
)
def test_columns_that_can_not_be_read_are_an_error_unless_the_file_is_not_needed(
    write: Write, name: str, content: bytes
) -> None:
    path = write({**IMAGES, name: content})
    with pytest.raises(DataError, match=rf"set(\.zip)?/{name}: .* use --labels folder or none"):
        open_path(path)
    assert open_path(path, labels="none").info.count == 4


def test_a_file_that_is_not_needed_is_read_only_for_its_columns(tmp_path: Path, monkeypatch: Any) -> None:
    from ganzoo.data import metadata_file

    root = write_folder(tmp_path / "set", {**IMAGES, "metadata.csv": as_csv(ROWS)})
    monkeypatch.setattr(metadata_file, "_csv_rows", None)
    assert open_path(root).load(3)[1] == 0


def test_a_name_whose_letters_macos_has_decomposed_is_found(write: Write) -> None:
    decomposed, composed = "e\u0301.png", "\u00e9.png"
    data = open_path(write({decomposed: IMAGES["0.png"], "metadata.csv": f"file_name,hair\n{composed},red\n".encode()}))
    assert data.annotations()["hair"] == ["red"]


def test_the_index_that_pandas_writes_is_no_annotation(write: Write) -> None:
    rows = b",file_name,hair\n0,0.png,red\n"
    data = open_path(write({"0.png": IMAGES["0.png"], "metadata.csv": rows}))
    assert {**data.annotations()} == {"hair": ["red"]}
