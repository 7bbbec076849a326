"""Tests of Parquet files, as written by Hugging Face's `datasets`."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganzoo import DataError, DataInfo, open_path
from ganzoo.data import parquet_storage
from tests.data.pictures import encoded, noise

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, which the extra `parquet` installs")
parquet = pytest.importorskip("pyarrow.parquet")

IMAGES = [noise(8, 8, seed=index) for index in range(6)]
LABELS = [1, 0, 1, 2, 0, 1]
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog", "wild"], "_type": "ClassLabel"}}


def write(path: Path, columns: dict[str, Any], features: Any = None, group: int = 4) -> Path:
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(table, path, row_group_size=group)
    return path


def rows(start: int, end: int) -> dict[str, Any]:
    pictures = [{"bytes": encoded(image), "path": f"{index}.png"} for index, image in enumerate(IMAGES)]
    return {"image": pictures[start:end], "label": LABELS[start:end]}


def test_a_file_has_images_and_named_classes(tmp_path: Path) -> None:
    data = open_path(write(tmp_path / "set.parquet", rows(0, 6), FEATURES))
    assert data.info == DataInfo("set", 6, 8, 3, ("cat", "dog", "wild"))
    assert data.labels().tolist() == LABELS
    for index in (5, 0, 3, 1, 4, 2):
        image, label = data.load(index)
        assert (image == IMAGES[index]).all()
        assert label == LABELS[index]
    assert data.notes == ["Parquet, images from the column image, labels from the column label"]
    assert data.describe(3).endswith("set.parquet/row 3")
    assert (pickle.loads(pickle.dumps(data)).load(4)[0] == IMAGES[4]).all()


@pytest.mark.parametrize("validation", ["validation-00000-of-00001.parquet", "test.parquet"])
def test_a_folder_of_shards_has_training_and_validation_images(tmp_path: Path, validation: str) -> None:
    write(tmp_path / "data" / "train-00000-of-00002.parquet", rows(0, 2), FEATURES)
    write(tmp_path / "data" / "train-00001-of-00002.parquet", rows(2, 4), FEATURES)
    write(tmp_path / "data" / validation, rows(4, 6), FEATURES)
    if validation != "test.parquet":  # of two splits besides the training one, `test` is ignored
        write(tmp_path / "data" / "test-00000-of-00001.parquet", rows(0, 1), FEATURES)
    data = open_path(tmp_path, "pets")
    assert data.info.count == 4
    assert data.describe(3).endswith("data/train-00001-of-00002.parquet:1")
    assert (data.load(3)[0] == IMAGES[3]).all()
    held_out = data.validation()
    assert held_out is not None
    assert held_out.info == DataInfo("pets-val", 2, 8, 3, ("cat", "dog", "wild"))
    assert held_out.labels().tolist() == [0, 1]
    assert (held_out.load(0)[0] == IMAGES[4]).all()
    assert pickle.loads(pickle.dumps(held_out)).labels().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "domains", "labels"),
    [
        ([7, 12, 7, 3, 12, 7], ("3", "7", "12"), [1, 2, 1, 0, 2, 1]),
        (["b", "a", "b", "c", "a", "b"], ("a", "b", "c"), LABELS),
    ],
)
def test_labels_without_names_are_domains_by_their_values(
    tmp_path: Path, values: Any, domains: Any, labels: Any
) -> None:
    columns = {"img": [encoded(image) for image in IMAGES], "label": values, "caption": ["x"] * 6}
    data = open_path(write(tmp_path / "set.parquet", columns))
    assert data.info.domains == domains
    assert data.labels().tolist() == labels


def test_without_labels_there_are_no_domains(tmp_path: Path) -> None:
    data = open_path(write(tmp_path / "set.parquet", {"photo": [encoded(image) for image in IMAGES], "age": [3] * 6}))
    assert data.info.domains == ()
    assert data.notes == ["Parquet, images from the column photo, no column of labels"]


def test_only_the_last_groups_of_rows_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_storage, "MAX_CACHED_BYTES", 700)
    data = open_path(write(tmp_path / "set.parquet", rows(0, 6), FEATURES, group=2))
    for index in (0, 5, 2, 1, 4, 3, 0):
        assert (data.load(index)[0] == IMAGES[index]).all()
        assert len(data.storage._groups) == 1


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "set.parquet", rows(0, 6))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        DataError, match=r'set\.parquet: reading Parquet needs pyarrow\. Run: pip install "ganzoo\[parquet\]"'
    ):
        open_path(path)


def columns(**changed: Any) -> dict[str, Any]:
    return {**rows(0, 6), **changed}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (columns(label=[1, 0, -1, 2, 0, 1]), r"1 of 6 images has no 'label'; the first is .*row 2"),
        (columns(label=[1, 0, 3, 2, 0, 1]), r"row 2 has the label 3 \(not 0 to 2\), which is none of cat, dog, wild"),
        (columns(label=[1, 0, None, 2, 0, 1]), r"1 of 6 images has no 'label'; the first is .*row 2\. Add what"),
        ({"label": LABELS}, r"no column of images \(label\)\. Images are bytes"),
        ({"a": [b"1"] * 6, "b": [b"2"] * 6}, r"several columns of images \(a, b\)\. Rename the one"),
        (columns(image=[{"bytes": None, "path": "1.png"}] * 6), r"none of its 6 images can .*the row has no image"),
        (columns(image=[b"1"] * 6), r"none of its 6 images can .*not a readable image"),
    ],
)  # fmt: skip
def test_unusable_columns_are_one_clear_line(tmp_path: Path, changed: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        open_path(write(tmp_path / "set.parquet", changed, FEATURES))
    assert "\n" not in str(caught.value)


def test_one_unreadable_image_is_reported_when_it_is_loaded(tmp_path: Path) -> None:
    pictures = [*rows(0, 6)["image"][:5], {"bytes": b"cut", "path": None}]
    data = open_path(write(tmp_path / "set.parquet", columns(image=pictures), FEATURES))
    assert data.load(4)[1] == 0
    with pytest.raises(DataError, match=r"row 5: not a readable image"):
        data.load(5)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"images" * 100])
def test_damage_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"set\.parquet: not a readable Parquet file") as caught:
        open_path(tmp_path / "set.parquet")
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", rows(0, 6))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"set\.parquet: not a readable Parquet file"):
        open_path(path)


def test_numbers_of_rows_that_contradict_each_other_are_one_clear_line(tmp_path: Path) -> None:
    """Fuzzing found it: there were more images than labels."""
    path = write(tmp_path / "set.parquet", rows(0, 3), FEATURES, group=2)
    intact = path.read_bytes()
    for place in (found.start() for found in re.finditer(rb"\x16\x02", intact)):  # a Thrift field of value 1
        path.write_bytes(intact[:place] + b"\x16\x7e" + intact[place + 2 :])
        if parquet.ParquetFile(path).metadata.row_group(1).num_rows == 63:
            break
    else:
        raise AssertionError("the number of rows of the second group was not found")
    with pytest.raises(DataError, match=r"set\.parquet: damaged: it says that it has 3 rows, but .* have 65"):
        open_path(path)


def test_a_column_with_fewer_values_than_rows_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", rows(0, 3), FEATURES)
    table = SimpleNamespace(read=parquet.ParquetFile(path).read, metadata=SimpleNamespace(num_rows=4))
    with pytest.raises(DataError, match="the column label has 3 values, but the file has 4 rows"):
        parquet_storage._read_column(path, table, "label")


def test_a_shard_without_a_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", rows(0, 3), FEATURES)
    write(tmp_path / "1.parquet", {"image": rows(3, 6)["image"]}, FEATURES)
    with pytest.raises(DataError, match=r"1\.parquet: no column label, which 0\.parquet has"):
        open_path(tmp_path)


def test_columns_of_text_and_numbers_are_annotations_and_are_read_when_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = {**FEATURES, "breed": {"names": ["pug", "lab"], "_type": "ClassLabel"}}
    for name, first in (("train.parquet", 0), ("test.parquet", 3)):
        columns = rows(first, first + 3)
        columns |= {"breed": [1, 0, -1], "age": [1, None, 3], "big": [True, False, True], "pose": [[0.5], [1.0], None]}
        write(tmp_path / name, {**columns, "boxes": [[[1]], [], []], "note": ["a", "b", "c"]}, features)
    data = open_path(tmp_path)
    known = data.annotations()
    read, used = parquet.ParquetFile.read, list[str]()

    def read_columns(self: Any, columns: list[str]) -> Any:
        used.extend(columns)
        return read(self, columns=columns)

    monkeypatch.setattr(parquet.ParquetFile, "read", read_columns)
    assert sorted(known) == ["age", "big", "breed", "label", "note", "pose"]
    assert used == []
    assert {name: known[name] for name in known if name != "label"} == {
        "breed": ["lab", "pug", None],
        "age": [1, None, 3],
        "big": [True, False, True],
        "pose": [[0.5], [1.0], None],
        "note": ["a", "b", "c"],
    }
    assert known["label"] == [data.info.domains[label] for label in data.labels()]
    used.clear()
    by_note = open_path(tmp_path, labels="note")
    assert used == ["note"]
    assert by_note.info.domains == ("a", "b", "c")
    assert by_note.notes == ["Parquet, images from the column image"]
    validation = by_note.validation()
    assert validation is not None
    assert (validation.load(2)[0] == IMAGES[5]).all()
    assert validation.labels().tolist() == [0, 1, 2]
    assert open_path(tmp_path, labels="label").info == data.info
    assert pickle.loads(pickle.dumps(by_note)).load(1)[1] == 1


@pytest.mark.parametrize(
    ("kind", "values", "domains"),
    [
        (pa.large_string(), ["b", "a", "b", "c", "a", "b"], ("a", "b", "c")),
        (pa.dictionary(pa.int32(), pa.string()), ["b", "a", "b", "c", "a", "b"], ("a", "b", "c")),
        (pa.bool_(), [True, False, True, True, False, True], ("false", "true")),
    ],
)
def test_labels_as_pandas_and_polars_store_them_give_domains(
    tmp_path: Path, kind: Any, values: Any, domains: Any
) -> None:
    data = open_path(write(tmp_path / "set.parquet", columns(label=pa.array(values, kind))))
    assert data.info.domains == domains
    assert data.labels().tolist() == [domains.index(str(value).lower()) for value in values]


def test_columns_whose_names_begin_alike_are_not_mixed_up(tmp_path: Path) -> None:
    others = {"image.width": [8] * 6, "label.old": [5] * 6}
    data = open_path(write(tmp_path / "set.parquet", {**others, **rows(0, 6)}, FEATURES))
    assert data.labels().tolist() == LABELS
    assert (data.load(5)[0] == IMAGES[5]).all()


@pytest.mark.parametrize("secret", [-1, None])
@pytest.mark.parametrize("layout", ["folder", "file"])
def test_validation_images_whose_labels_are_secret_or_that_are_none_are_not_used(
    tmp_path: Path, secret: int | None, layout: str
) -> None:
    training, held_out = ("train", "test") if layout == "folder" else ("set", "set-val")
    path = tmp_path if layout == "folder" else tmp_path / "set.parquet"
    write(tmp_path / f"{training}.parquet", rows(0, 4), FEATURES)
    labels = pa.array([secret] * 2, pa.int64())
    write(tmp_path / f"{held_out}.parquet", {**rows(4, 6), "label": labels}, FEATURES)
    assert open_path(path).validation() is None
    validation = open_path(path, labels="none").validation()
    assert validation is not None
    assert validation.info.count == 2
    table = parquet.read_table(tmp_path / f"{training}.parquet")
    parquet.write_table(table.slice(0, 0), tmp_path / f"{held_out}.parquet")
    assert open_path(path).validation() is None


def test_a_set_whose_labels_are_all_secret_has_none(tmp_path: Path) -> None:
    data = open_path(write(tmp_path / "set.parquet", columns(label=[-1] * 6), FEATURES))
    assert (data.info.domains, data.labelled_by) == ((), "")
    assert data.notes == ["Parquet, images from the column image, the column of labels is empty"]


def test_other_columns_of_images_are_named(tmp_path: Path) -> None:
    data = open_path(write(tmp_path / "set.parquet", columns(mask=rows(0, 6)["image"])))
    assert data.notes[1:] == ["columns of images that are not used: mask"]
    assert sorted(data.annotations()) == ["label"]
