"""Zip archives with labels: NVIDIA's and our dataset.json, and Hugging Face's metadata.csv and metadata.jsonl."""

from __future__ import annotations

import io
import json
import zipfile
from functools import lru_cache

from tests.fuzz.edits import Choices
from tests.fuzz.reading import choose_file, picture, read_file

PREPARED = {  # as `ganzoo data prepare` writes it
    "labels": [["00000/1.png", [0.5, 1]], ["00000/2.png", [1, 2]]],
    "ganzoo": {"flip": False, "fit": "pad", "label": "pose", "attributes": ["x", "y"]},
}


@lru_cache(maxsize=1)
def files() -> list[tuple[str, bytes]]:
    """Return the names and contents of valid files."""
    return [
        ("dataset.json", json.dumps({"labels": [["00000/1.png", 3], ["00000/2.png", 1]]}).encode()),
        ("dataset.json", json.dumps(PREPARED).encode()),
        ("metadata.csv", b"file_name,label,age\n00000/1.png,cat,3\n00000/2.png,dog,0.5\n"),
        ("metadata.jsonl", b'{"file_name": "00000/1.png", "pose": [1, 2]}\n{"file_name": "00000/2.png", "x": null}\n'),
    ]


def seeds() -> list[bytes]:
    return [bytes([number]) + content for number, (_, content) in enumerate(files())]


def check(data: bytes) -> None:
    name, labels = choose_file(Choices(data), files())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for image in ("00000/1.png", "00000/2.png"):
            archive.writestr(image, picture(5))
        archive.writestr(name, labels)
    read_file("set.zip", buffer.getvalue())
