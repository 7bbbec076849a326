"""FFHQ, CelebA, CelebA-HQ and AFHQ, whose licences don't allow bundling."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganzoo_datasets.afhq import AFHQ
from ganzoo_datasets.celeba import CelebA
from ganzoo_datasets.celeba_hq import CelebAHQ
from ganzoo_datasets.ffhq import FFHQ
from ganzoo_datasets.local import LocalSource

from ganzoo import DataError, DataInfo, prepare
from ganzoo.data.storage import open_path
from tests.data.pictures import encoded, noise, write_folder, write_zip

FILES = {f"thumbnails128x128/0{index}000/0{index}000.png": encoded(noise(9, 9, seed=index)) for index in range(3)}


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("source", "file", "official"),
    [
        (FFHQ(), "thumbnails128x128/00000/00000.png", "https://github.com/NVlabs/ffhq-dataset"),
        (CelebA(), "img_align_celeba/000001.jpg", "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"),
        (CelebAHQ(), "train/female/*.jpg", "https://github.com/clovaai/stargan-v2"),
        (CelebAHQ(), "val/male/*.jpg", "https://github.com/clovaai/stargan-v2"),
        (AFHQ(), "train/wild/*.jpg", "https://github.com/clovaai/stargan-v2"),
        (AFHQ(), "val/cat/*.jpg", "https://github.com/clovaai/stargan-v2"),
    ],
)
def test_the_error_for_a_missing_set_explains_how_to_get_it(source: LocalSource, file: str, official: str) -> None:
    assert not source.ready()
    with pytest.raises(DataError) as caught:
        source.open()
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert file in lines
    assert any(line.startswith(official) for line in lines)
    assert f"ganzoo data prepare PATH --out {source.name}" in lines
    assert (f"ganzoo data download {source.name}" in lines) is bool(source.archive)
    assert (f"(from {source.archive}), or by hand:" in lines) is bool(source.archive)


def test_a_folder_a_zip_and_an_lmdb_in_the_data_directory_are_found(data_dir: Path) -> None:
    write_folder(data_dir, {})
    write_zip(data_dir / "ffhq.zip", FILES)
    assert FFHQ().ready()
    assert FFHQ().open().info == DataInfo("ffhq", 3, 9, 3, domains=(), flip=True)
    (data_dir / "ffhq.zip").unlink()
    source = open_path(write_folder(data_dir / "ffhq", FILES))
    assert len(source.info.domains) == 3  # FFHQ has a folder per thousand images; these are not domains
    assert FFHQ().open().info == DataInfo("ffhq", 3, 9, 3, domains=(), flip=True)
    prepare(source, data_dir / "ffhq.lmdb", [4, 8])
    assert FFHQ().open().info == DataInfo("ffhq", 3, 8, 3, domains=(), flip=True)
    assert not CelebA().ready()


@pytest.mark.parametrize(
    ("source", "address", "domains"),
    [
        (AFHQ(), "https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1", ("cat", "dog", "wild")),
        (CelebAHQ(), "https://www.dropbox.com/s/f7pvjij2xlpff59/celeba_hq.zip?dl=1", ("female", "male")),
    ],
    ids=["afhq", "celeba-hq"],
)
def test_some_data_sets_have_their_folders_as_domains(
    data_dir: Path, source: LocalSource, address: str, domains: tuple[str, ...]
) -> None:
    assert source.archive == address
    assert source.archive_folders == tuple(f"train/{domain}" for domain in domains)
    files = {f"train/{name}/{index}.png": encoded(noise(9, 9, seed=index)) for name in domains for index in range(2)}
    expected = DataInfo(source.name, 2 * len(domains), 9, 3, domains, flip=True)
    write_folder(data_dir, {})
    write_zip(data_dir / f"{source.name}.zip", files)
    assert source.open().info == expected
    write_folder(data_dir / source.name, files)
    assert source.open().info == expected
    prepare(source.open(), data_dir / f"{source.name}.lmdb", [8])
    assert source.open().info == DataInfo(source.name, 2 * len(domains), 8, 3, domains, flip=True)
