"""Every format of data sets can be trained on, with and without its labels."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ganzoo import open_path
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.packages import needs_pyarrow

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
LABELS = [0, 1, 2] * 4


def png(index: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(IMAGES[index]).save(buffer, "png")
    return buffer.getvalue()


def folder_of_classes(path: Path) -> None:
    for index, label in enumerate(LABELS):
        (path / f"class {label}").mkdir(parents=True, exist_ok=True)
        (path / f"class {label}" / f"{index}.png").write_bytes(png(index))


def folder_with_label_file(path: Path) -> None:
    (path / "00000").mkdir(parents=True)
    for index in range(len(LABELS)):
        (path / f"00000/img{index:08}.png").write_bytes(png(index))
    labels = [[f"00000/img{index:08}.png", label] for index, label in enumerate(LABELS)]
    (path / "dataset.json").write_text(json.dumps({"labels": labels}))


def zip_with_label_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(len(LABELS)):
            archive.writestr(f"00000/img{index:08}.png", png(index))
        labels = [[f"00000/img{index:08}.png", label] for index, label in enumerate(LABELS)]
        archive.writestr("dataset.json", json.dumps({"labels": labels}))


def webdataset(path: Path) -> None:
    path.mkdir()
    for shard in range(2):
        with tarfile.open(path / f"shard-{shard:06}.tar", "w") as archive:
            for index in range(6 * shard, 6 * shard + 6):
                for kind, content in (("png", png(index)), ("cls", str(LABELS[index]).encode())):
                    member = tarfile.TarInfo(f"{index:06}.{kind}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def parquet(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": png(index), "path": f"{index}.png"} for index in range(len(LABELS))]
    pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": LABELS}), path)


def idx_files(path: Path) -> None:
    path.mkdir()
    grey, labels = IMAGES[..., 0], np.array(LABELS, np.uint8)
    for name, array in (("train-images-idx3-ubyte.gz", grey), ("train-labels-idx1-ubyte.gz", labels)):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (path / name).write_bytes(gzip.compress(header + array.tobytes()))


def npz(path: Path) -> None:
    np.savez(path, images=IMAGES, labels=LABELS)


FORMATS = {
    "folder": folder_of_classes,
    "nvidia": folder_with_label_file,
    "nvidia.zip": zip_with_label_file,
    "shards": webdataset,
    "table.parquet": parquet,
    "fashion": idx_files,
    "arrays.npz": npz,
}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=needs_pyarrow if "parquet" in each else ()) for each in FORMATS]
)
def test_images_of_every_format_are_trained_on_with_and_without_their_classes(ganzoo, workdir, name):
    FORMATS[name](workdir / name)
    two_steps = ["--data", name, *TINY_RUN_OPTIONS, "--kimg", "0.008"]
    for number, model in enumerate((["gan"], ["gan", "--conditional"])):
        result = ganzoo("train", *model, *two_steps)
        assert result.exit_code == 0, result.output
        assert "warning" not in result.output
        assert all(f"{Path(name).stem}: {note}\n" in result.output for note in open_path(workdir / name).notes)
        run = next((workdir / "experiments").glob(f"{number:05}-*"))
        assert json.loads((run / "stats.jsonl").read_text().splitlines()[-1])["images"] == 8
        description = json.loads((run / "options.json").read_text())
        assert description["options"]["conditional"] is bool(number)
        data = description["data"]
        assert (data["count"], data["size"], len(data["domains"])) == (12, 8, 3)
    assert open_path(workdir / name).labels().tolist() == (sorted(LABELS) if name == "folder" else LABELS)
