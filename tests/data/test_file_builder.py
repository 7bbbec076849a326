"""What zip archives and Parquet files that `ganzoo data prepare` writes have in common."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from ganzoo import DataError, OptionError, open_path, prepare, with_fit
from ganzoo.data.layout import validation_path
from tests.data.pictures import NumberedDataset, pets
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
