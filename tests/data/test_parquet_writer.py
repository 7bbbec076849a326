"""Parquet files that `ganzoo data prepare` writes, read with pyarrow."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import DataError, DataInfo, open_path, prepare
from ganzoo.data import parquet_writer
from ganzoo.data.images import crop_and_resize
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.data.test_zip_writer import pets

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


# Errors


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        DataError, match=r'out\.parquet: writing Parquet needs pyarrow\. Run: pip install "ganzoo\[parquet\]"'
    ):
        prepare(NumberedDataset(3), tmp_path / "out.parquet", [4])
    assert list(tmp_path.iterdir()) == []
