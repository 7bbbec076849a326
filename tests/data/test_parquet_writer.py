"""Parquet files that `ganzoo data prepare` writes, read with pyarrow."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import DataError, DataInfo, open_path, prepare, with_labels
from ganzoo.data import parquet_writer
from ganzoo.data.images import crop_and_resize
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.data.test_labelling import Annotated
from tests.data.test_zip_writer import pets
from tests.support.shades import Shades

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, which the extra `parquet` installs")
parquet = pytest.importorskip("pyarrow.parquet")


def test_another_program_reads_images_and_named_classes(tmp_path: Path) -> None:
    source = pets(tmp_path / "set")
    summary = prepare(source, tmp_path / "out.parquet", [8], lossless=True)
    assert (summary.count, summary.bytes) == (6, (tmp_path / "out.parquet").stat().st_size)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert table.schema.field("label").type == pa.int64()
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert rows[5]["image"]["path"] == "00000005.png"
    for index, row in enumerate(rows):
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        np.testing.assert_array_equal(pixels, crop_and_resize(source.load(index)[0], 8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-val.parquet", "out.parquet", "set"]


def test_ganzoo_reads_the_file_and_its_validation_images(tmp_path: Path) -> None:
    source = pets(tmp_path / "set")
    prepare(source, tmp_path / "out.parquet", [16], flip=True, lossless=True)
    data = open_path(tmp_path / "out.parquet")
    validation, expected = data.validation(), source.validation()
    assert validation is not None
    assert expected is not None
    assert data.info == DataInfo("out", 6, 16, 3, ("cat", "dog"), flip=True)
    assert validation.info == DataInfo("out-val", 1, 16, 3, ("cat", "dog"), flip=True)
    assert (data.labels().tolist(), validation.labels().tolist()) == ([0, 0, 0, 1, 1, 1], [1])
    np.testing.assert_array_equal(validation.load(0)[0], expected.load(0, 16)[0])
    np.testing.assert_array_equal(data.load(5)[0], source.load(5, 16)[0])


def test_grey_images_without_labels_are_jpegs_by_default(tmp_path: Path) -> None:
    prepare(NumberedDataset(3), tmp_path / "out.parquet", [4])
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["image"]
    row = table.to_pylist()[2]["image"]
    image = Image.open(io.BytesIO(row["bytes"]))
    assert (image.format, image.mode, row["path"]) == ("JPEG", "L", "00000002.jpg")
    assert open_path(tmp_path / "out.parquet").info == DataInfo("out", 3, 4, 1)


def test_groups_of_rows_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(NumberedDataset(250), tmp_path / "out.parquet", [4], workers=1)
    file = parquet.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [100, 100, 50]
    monkeypatch.setattr(parquet_writer, "GROUP_BYTES", 100)
    prepare(NumberedDataset(3), tmp_path / "small.parquet", [4])
    assert parquet.ParquetFile(tmp_path / "small.parquet").num_row_groups == 3


def test_unreadable_images_are_left_out_and_listed(tmp_path: Path) -> None:
    source = pets(tmp_path / "set")
    (tmp_path / "set" / "train" / "cat" / "1.png").write_bytes(b"text")
    summary = prepare(source, tmp_path / "out.parquet", [8])
    assert (summary.count, len(summary.bad)) == (5, 1)
    assert open_path(tmp_path / "out.parquet").labels().tolist() == [0, 0, 1, 1, 1]


def test_validation_images_of_other_classes_are_an_error(tmp_path: Path) -> None:
    prepare(pets(tmp_path / "set"), tmp_path / "out.parquet", [8])
    files = {f"{kind}/1.png": encoded(noise(8, 8)) for kind in ("ant", "dog")}
    other = open_path(write_folder(tmp_path / "other", files))
    (tmp_path / "out-val.parquet").unlink()
    prepare(other, tmp_path / "other.parquet", [8])
    (tmp_path / "other.parquet").rename(tmp_path / "out-val.parquet")
    with pytest.raises(
        DataError, match=r"out-val\.parquet: its domains \(ant, dog\) differ from those of out\.parquet"
    ):
        open_path(tmp_path / "out.parquet").validation()


def test_another_program_reads_typed_annotations_and_attributes(tmp_path: Path) -> None:
    prepare(with_labels(Annotated(), "hair"), tmp_path / "out.parquet", [4])
    table = parquet.read_table(tmp_path / "out.parquet")
    types = {field.name: str(field.type) for field in table.schema if field.name != "image"}
    described = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "float64", "_type": "Value"}
    assert types == {
        **{"label": "int64", "hair": "string", "age": "int64", "happy": "bool", "height": "double"},
        **{"pose": "list<element: double>", "beard": "string", "crowd": "double"},
    }
    assert (described["hair"], described["crowd"]) == (text, number)
    assert described["pose"] == {"feature": number, "_type": "Sequence"}
    assert table["beard"].to_pylist() == ["full", None, "none", None]
    assert table["crowd"].to_pylist() == [0.5, 0.25, None, 1.0]
    prepare(with_labels(Annotated(), "age,"), tmp_path / "attributes.parquet", [4])
    table = parquet.read_table(tmp_path / "attributes.parquet")
    assert table["label"].to_pylist() == [[31], [4], [31], [100]]
    assert (
        json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["feature"]["dtype"] == "float32"
    )


def test_domains_and_attributes_are_stored_together(tmp_path: Path) -> None:
    source, lines = Shades(domains=("a", "b")), list[str]()
    prepare(source, tmp_path / "out.parquet", [8], say=lines.append)
    data = open_path(tmp_path / "out.parquet")
    assert (data.info.domains, data.info.attributes) == (("a", "b"), ("bright", "age"))
    assert data.attributes().tobytes() == source.attributes().tobytes()
    assert data.labels().tolist() == source.labels().tolist()
    assert data.notes == [
        "Parquet, images from the column image, labels from the column label and 2 attributes from the column "
        "attributes"
    ]
    assert not any("stored" in line for line in lines)
    assert open_path(tmp_path / "out.parquet", labels="none").info.attributes == ()


def test_validation_images_have_the_same_attributes(tmp_path: Path) -> None:
    source = Annotated({"age": [1, 2], "hair": ["red", "black"]}, Annotated({"age": [3]}))
    prepare(with_labels(source, "age,"), tmp_path / "out.parquet", [4])
    for path in (tmp_path / "out.parquet", tmp_path / "both"):
        if path.suffix == "":
            path.mkdir()
            (tmp_path / "out.parquet").rename(path / "train.parquet")
            (tmp_path / "out-val.parquet").rename(path / "validation.parquet")
        data = pickle.loads(pickle.dumps(open_path(path)))
        validation = data.validation()
        assert (data.info.attributes, validation.info.attributes) == (("age",), ("age",))
        assert (data.attributes().tolist(), validation.attributes().tolist()) == ([[1], [2]], [[3]])
        assert {**validation.annotations()} == {"label": [[3]], "age": [3], "hair": [None]}


def test_a_set_without_labels_has_none_whatever_its_annotations_are_called(tmp_path: Path) -> None:
    prepare(Annotated({"label": ["a", "b"], "image": ["x", "y"]}), tmp_path / "out.parquet", [4])
    data = open_path(tmp_path / "out.parquet")
    assert (data.info.domains, data.labelled_by) == ((), "")
    assert with_labels(data, "label").info.domains == ("a", "b")
    assert data.annotations()["image"] == ["x", "y"]


# Errors


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"label": "none"}, "the column of labels 'none' is missing"),
        ({"label": []}, r"the column of labels \[\] is missing"),
        ({"attributes": []}, "list indices"),
        ({"attributes": {"column": "x", "names": ["age"]}}, "the column of attributes 'x' is missing"),
        ({"attributes": {"column": "label", "names": "age"}}, "expected the names of the attributes"),
        ({"attributes": {"column": "label", "names": ["age", "age"]}}, "expected the names of the attributes"),
        ({"fit": "no"}, "'fit' is 'no'"),
    ],
)
def test_damaged_metadata_are_one_clear_line(tmp_path: Path, own: object, problem: str) -> None:
    prepare(with_labels(Annotated(), "age,"), tmp_path / "out.parquet", [4])
    table = parquet.read_table(tmp_path / "out.parquet")
    parquet.write_table(table.replace_schema_metadata({"ganzoo": json.dumps(own)}), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=rf"bad\.parquet: the entry of ganzoo is damaged: .*{problem}"):
        open_path(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    "rows", [[[1.0], None], [[1.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]], [[1.0], [float("nan")]]]
)
def test_damaged_attributes_are_one_clear_line(tmp_path: Path, rows: object) -> None:
    prepare(with_labels(Annotated({"age": [1, 2]}), "age,"), tmp_path / "out.parquet", [4])
    table = parquet.read_table(tmp_path / "out.parquet")
    damaged = table.set_column(1, "label", pa.array(rows)).replace_schema_metadata(table.schema.metadata)
    parquet.write_table(damaged, tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad\.parquet: the column label doesn't have 1 number for each image\."):
        open_path(tmp_path / "bad.parquet")


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        DataError, match=r'out\.parquet: writing Parquet needs pyarrow\. Run: pip install "ganzoo\[parquet\]"'
    ):
        prepare(NumberedDataset(3), tmp_path / "out.parquet", [4])
    assert list(tmp_path.iterdir()) == []
