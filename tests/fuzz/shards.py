"""Shards of webdataset, Parquet files, and zip archives with a file of labels or metadata."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

from ganzoo.data.preparing import prepare
from ganzoo.errors import DataError
from tests.fuzz.edits import Choices
from tests.fuzz.reading import choose_file, picture, read_all
from tests.support.shades import Shades

LABELS = {"1": b"7", "2": b"12", "3": b"7"}


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for stem, label in LABELS.items():
            described = b'{"hair": "red", "age": 3, "pose": [0.5, 1]}'
            for name, content in ((f"{stem}.png", picture(5)), (f"{stem}.cls", label), (f"{stem}.json", described)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": [{"bytes": picture(5), "path": "x.png"}] * 3, "label": [0, 1, 0], "pose": [[0.5]] * 3})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def own_parquet() -> bytes:
    """Return a Parquet file as `ganzoo data prepare` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.parquet"
        prepare(Shades(count=3, domains=("a", "b")), path, [4], workers=1)
        return path.read_bytes()


def own_labels() -> bytes:
    """Return a dataset.json as `ganzoo data prepare` writes it."""
    labels = [["00000/1.png", [0.5, 1]], ["00000/2.png", [1, 2]]]
    own = {"flip": False, "fit": "pad", "label": "pose", "attributes": ["x", "y"]}
    return json.dumps({"labels": labels, "ganzoo": own}).encode()


def labelled_zip(name: str, labels: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for image in ("00000/1.png", "00000/2.png"):
            archive.writestr(image, picture(5))
        archive.writestr(name, labels)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def files() -> list[tuple[str, bytes]]:
    """Return the names and contents of valid files."""
    found = [
        ("set.tar", tar()),
        ("dataset.json", json.dumps({"labels": [["00000/1.png", 3], ["00000/2.png", 1]]}).encode()),
        ("metadata.csv", b"file_name,label,age\n00000/1.png,cat,3\n00000/2.png,dog,0.5\n"),
        ("metadata.jsonl", b'{"file_name": "00000/1.png", "pose": [1, 2]}\n{"file_name": "00000/2.png", "x": null}\n'),
        ("dataset.json", own_labels()),
    ]
    try:
        return [*found, ("set.parquet", parquet()), ("set.parquet", own_parquet())]
    except (ImportError, DataError):  # the extra `parquet` is not installed
        return found


def seeds() -> list[bytes]:
    return [bytes([number]) + content for number, (_, content) in enumerate(files())]


def check(data: bytes) -> None:
    name, content = choose_file(Choices(data), files())
    with tempfile.TemporaryDirectory() as folder:
        in_zip = not name.startswith("set.")
        path = Path(folder) / "inner" / ("set.zip" if in_zip else name)
        path.parent.mkdir()
        path.write_bytes(labelled_zip(name, content) if in_zip else content)
        read_all(path)
