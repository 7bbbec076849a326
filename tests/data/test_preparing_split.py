"""Preparing a data set with validation images makes two LMDBs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ganzoo.data.images import crop_and_resize, fit_array
from ganzoo.data.labelling import with_labels
from ganzoo.data.layout import validation_path
from ganzoo.data.preparing import prepare
from ganzoo.data.storage import StoredImages, open_path
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder


def animals(root: Path, count: int = 3) -> StoredImages:
    """Make a folder of cats, dogs and yaks for training, and of dogs for validation."""
    paths = [f"train/{kind}/{index}.png" for kind in ("cat", "dog", "yak") for index in range(count)]
    paths += [f"val/dog/{index}.png" for index in range(2)]
    return open_path(write_folder(root, {path: encoded(noise(20, 24, seed=at)) for at, path in enumerate(paths)}))


def validation(data: Dataset) -> Dataset:
    validation_set = data.validation()
    assert validation_set is not None
    return validation_set


def test_both_parts_are_prepared_with_the_same_domains(tmp_path: Path) -> None:
    source, lines = animals(tmp_path / "set"), list[str]()
    summary = prepare(source, tmp_path / "out.lmdb", [8, 16], lossless=True, flip=True, say=lines.append)
    assert summary.validation is not None
    assert (summary.path, summary.count) == (tmp_path / "out.lmdb", 9)
    assert (summary.validation.path, summary.validation.count) == (tmp_path / "out-val.lmdb", 2)
    assert f"writing validation images to {tmp_path}/out-val.lmdb" in lines
    data = open_path(tmp_path / "out.lmdb")
    validation_set = validation(data)
    assert data.info.domains == validation_set.info.domains == ("cat", "dog", "yak")
    assert (data.info.flip, validation_set.info.flip) == (True, True)
    assert data.labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert validation_set.labels().tolist() == [1, 1]
    for size in (8, 16):
        small = validation(data.at_size(size))
        assert small.info.size == size
        expected = crop_and_resize(validation(source).load(1)[0], size, 3)
        np.testing.assert_array_equal(small.load(1)[0], expected)


def test_without_labels_the_parts_may_have_different_domains(tmp_path: Path) -> None:
    animals(tmp_path / "set")
    (tmp_path / "set" / "val" / "dog").rename(tmp_path / "set" / "val" / "fish")
    source = open_path(tmp_path / "set")
    with pytest.raises(DataError, match="val/fish/: not a domain of the training images"):
        prepare(source, tmp_path / "out.lmdb", [8])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    prepare(with_labels(source, "none"), tmp_path / "out.lmdb", [8])
    validation_set = validation(open_path(tmp_path / "out.lmdb"))
    assert (len(validation_set), validation_set.info.domains) == (2, ())


@pytest.mark.parametrize("interrupted_at", ["val/dog", "train/yak"])
def test_an_interrupted_call_is_resumed_in_either_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted_at: str
) -> None:
    source, load, lines = animals(tmp_path / "set", 20), StoredImages.load, list[str]()
    path = tmp_path / "out.lmdb"
    prepare(source, tmp_path / "uninterrupted.lmdb", [8])

    def load_until_interrupted(self: StoredImages, index: int) -> tuple[np.ndarray, int]:
        if interrupted_at in self.describe(index):
            raise KeyboardInterrupt
        return load(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(StoredImages, "load", load_until_interrupted)
        patch.setattr("ganzoo.data.preparing._check_space", lambda *_: None)  # it would load some of the images
        with pytest.raises(KeyboardInterrupt):
            prepare(source, path, [8], workers=1)
    assert not path.exists(), "the data set must not appear before both parts are complete"
    assert validation_path(path).exists() is (interrupted_at == "train/yak")
    assert prepare(source, path, [8], workers=1, say=lines.append).count == 60
    assert (f"{tmp_path}/out-val.lmdb: is already complete" in lines) is (interrupted_at == "train/yak")
    for name in ("uninterrupted", "out"):
        data = open_path(tmp_path / f"{name}.lmdb")
        assert (len(data), len(validation(data))) == (60, 2)
    assert (
        validation(data).load(1)[0].tolist()
        == validation(open_path(tmp_path / "uninterrupted.lmdb")).load(1)[0].tolist()
    )


@pytest.mark.parametrize(("flip", "lossless"), [(True, False), (None, True)])
def test_a_validation_lmdb_with_other_options_is_an_error(tmp_path: Path, flip: bool | None, lossless: bool) -> None:
    source = animals(tmp_path / "set")
    prepare(source, tmp_path / "out.lmdb", [8])
    (tmp_path / "out.lmdb").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"out-val\.lmdb: already exists\. Delete it first"):
        prepare(source, tmp_path / "out.lmdb", [8], flip=flip, lossless=lossless)
    assert not (tmp_path / "out.lmdb").exists()


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_both_parts_become_square_in_the_same_way(tmp_path: Path, fit: str) -> None:
    source = animals(tmp_path / "set")
    prepare(source, tmp_path / "out.lmdb", [8, 16], lossless=True, fit=fit)
    data = open_path(tmp_path / "out.lmdb")
    for part, original in ((data, source), (validation(data), validation(source))):
        assert part.info.fit == part.at_size(8).info.fit == fit
        for size in (8, 16):
            expected = fit_array(original.load(1)[0], size, fit=fit)
            np.testing.assert_array_equal(part.at_size(size).load(1)[0], expected)
    prepare(source, tmp_path / "cropped.lmdb", [8])
    shutil.rmtree(tmp_path / "cropped-val.lmdb")
    shutil.copytree(tmp_path / "out-val.lmdb", tmp_path / "cropped-val.lmdb")
    with pytest.raises(DataError, match=rf"cropped-val\.lmdb: its images were prepared with --fit {fit}, but"):
        open_path(tmp_path / "cropped.lmdb").validation()


def test_an_existing_path_is_an_error_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out.lmdb").mkdir()
    with pytest.raises(DataError, match=r"out\.lmdb: already exists"):
        prepare(animals(tmp_path / "set"), tmp_path / "out.lmdb", [8])
    assert not (tmp_path / "out-val.lmdb").exists()


def test_validation_images_of_another_data_set_are_not_used(tmp_path: Path) -> None:
    prepare(NumberedDataset(3), tmp_path / "out-val.lmdb", [4])
    with pytest.raises(DataError, match=r"out-val\.lmdb: already exists and would be used as .* of out\.lmdb"):
        prepare(NumberedDataset(3), tmp_path / "out.lmdb", [4])


def test_bad_images_of_each_part_are_listed_separately(tmp_path: Path) -> None:
    source = animals(tmp_path / "set")
    (tmp_path / "set" / "val" / "dog" / "0.png").write_bytes(b"text")
    (tmp_path / "set" / "train" / "cat" / "1.png").write_bytes(b"text")
    summary = prepare(source, tmp_path / "out.lmdb", [8])
    assert summary.validation is not None
    assert [len(summary.bad), len(summary.validation.bad)] == [1, 1]
    assert "val/dog/0.png" in summary.validation.bad[0]
