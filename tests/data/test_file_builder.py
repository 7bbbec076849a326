"""What zip archives and Parquet files that `ganzoo data prepare` writes have in common."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import DataError, OptionError, open_path, prepare, with_fit
from ganzoo.data.layout import validation_path
from tests.data.pictures import NumberedDataset, encoded, noise, pets, write_folder
from tests.support.packages import needs_pyarrow

NAMES = ["out.zip", pytest.param("out.parquet", marks=needs_pyarrow)]
WRITERS = {
    "out.zip": ("zipfile", "ZipFile", "writestr"),
    "out.parquet": ("pyarrow.parquet", "ParquetWriter", "write_table"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    module, kind, method = WRITERS[name]
    monkeypatch.setattr(getattr(importlib.import_module(module), kind), method, full)
    with pytest.raises(
        DataError, match=rf"{re.escape(name)}: can't be written \(No space left on device: free some space\)"
    ):
        prepare(NumberedDataset(3), tmp_path / name, [4])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_several_sizes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        OptionError, match=rf"--sizes 4,8: a {re.escape(name[3:])} file holds one size\. Give one, as in --sizes 8\."
    ):
        prepare(NumberedDataset(3), tmp_path / name, [4, 8])


@pytest.mark.parametrize("name", NAMES)
def test_how_images_were_made_square_is_kept(tmp_path: Path, name: str) -> None:
    prepare(pets(tmp_path / "set"), tmp_path / name, [8], fit="pad", lossless=True)
    data = open_path(tmp_path / name)
    assert data.info.fit == "pad"
    assert (data.load(0)[0][:, 7] == 255).all()  # 20 x 24 px become 7 x 8
    with pytest.raises(OptionError, match="was prepared with --fit pad"):
        with_fit(data, "stretch")
    prepare(pets(tmp_path / "set"), tmp_path / f"other-{name}", [8])
    held_out = validation_path(tmp_path / f"other-{name}")
    validation_path(tmp_path / name).replace(held_out)
    with pytest.raises(DataError, match="were prepared with --fit pad, but those of other-out"):
        open_path(tmp_path / f"other-{name}").validation()


@pytest.mark.parametrize("name", NAMES)
def test_transparency_is_kept_without_an_option_when_the_file_is_read(tmp_path: Path, name: str) -> None:
    pixels = np.full((8, 8, 4), (200, 100, 50, 64), np.uint8)
    write_folder(tmp_path / "set", {f"{index}.png": encoded(Image.fromarray(pixels)) for index in range(2)})
    prepare(open_path(tmp_path / "set").with_alpha(), tmp_path / name, [8])
    data = open_path(tmp_path / name)
    assert data.info.channels == 4
    assert (data.load(1)[0] == pixels).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_can_not_be_read_costs_only_what_it_says(tmp_path: Path, name: str) -> None:
    files = {"1.png": encoded(noise()), "metadata.csv": b"file_name,age\n1.png,4\n2.png,5\n"}
    lines = list[str]()
    source = open_path(write_folder(tmp_path / "set", files), labels="none")
    prepare(source, tmp_path / name, [4], say=lines.append)
    assert open_path(tmp_path / name).info.count == 1
    assert any("labels to choose from are not stored: " in line and "1 row without an image" in line for line in lines)
