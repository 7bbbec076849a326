"""LMDBs of images, with damaged pages or with malformed entries."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import lmdb

from tests.fuzz.edits import Choices, edit_bytes, edit_entries, edit_tree, to_json
from tests.fuzz.reading import picture, read_all

PAGE = 4096
METADATA: dict[str, Any] = {"domains": ["cat", "dog"], "labels": [0, 1] * 4, "flip": True}
ANNOTATIONS: dict[str, Any] = {"names": ["hair", "age", "pose"], "labelled_by": "kind"}
VALUES_OF: dict[str, Any] = {
    "ganzoo-annotation-0": ["red", None] * 4,
    "ganzoo-annotation-1": [1, 2.5, True, 4, 5, 6, 7, 8],
    "ganzoo-annotation-2": [[0.5, 1]] * 8,
    "ganzoo-attributes": ["x", "y"],
}
NAMES = (
    "length",
    "ganzoo",
    "ganzoo-annotations",
    "ganzoo-annotation-1",
    "ganzoo-attribute-values",
    "8-00000",
    "8-00008",
    "32-00000",
    "x",
    "8-0",
    "é" * 200,
)
VALUES = (b"", b"0", b"-1", b"9" * 30, b"1e3", b"\xff", b"[]", b"{", picture(300), bytes(3000))


@lru_cache(maxsize=1)
def entries() -> dict[str, bytes]:
    images = {f"{size}-{index:05d}": picture(size) for size in (8, 16, 64) for index in range(8)}
    described = {"ganzoo": METADATA, "ganzoo-annotations": ANNOTATIONS, **VALUES_OF}
    values = {"ganzoo-attribute-values": bytes(64)}
    return {**images, "length": b"8", **values, **{name: to_json(value) for name, value in described.items()}}


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    return [_written(entries()), _written({"8-00000": picture(8), "length": b"1"})]


def _written(content: dict[str, bytes]) -> bytes:
    content = {**content, "x": b""}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.lmdb"
        with lmdb.open(str(path), subdir=False, lock=False, sync=False, map_size=1 << 24) as env:
            for changes in (content, {"x": b"y"}):  # the second transaction leaves free pages
                with env.begin(write=True) as transaction:
                    for name, value in changes.items():
                        transaction.put(name.encode(), value)
        return path.read_bytes()


def _file_from(choices: Choices) -> bytes:
    kind = choices.below(6)
    if kind == 0:
        return choices.rest()
    if kind == 1:
        return edit_bytes(choices, choices.pick(seeds()))
    if kind == 2:
        return _damaged(choices, choices.pick(seeds()))
    if kind == 3:
        return _written({**entries(), "ganzoo": to_json(edit_tree(choices, METADATA))})
    if kind == 4:
        name = choices.pick(("ganzoo-annotations", *VALUES_OF))
        value = ANNOTATIONS if name == "ganzoo-annotations" else VALUES_OF[name]
        return _written({**entries(), name: to_json(edit_tree(choices, value))})
    return _written(edit_entries(choices, entries(), NAMES, VALUES))


def _damaged(choices: Choices, data: bytes) -> bytes:
    """At the start and end of pages, where headers, pointers and nodes are, write typical numbers over the data."""
    edited = bytearray(data)
    for _ in range(1 + choices.below(4)):
        at = PAGE * choices.below(len(data) // PAGE) + choices.below(160)
        at = at if choices.below(2) else at + PAGE - 160
        width = choices.pick((1, 2, 4, 8))
        number = choices.pick((0, 1, 2, 3, 4, 8, 16, 4080, 4096, 2**15, 2**31, 2**48, 2**63, 2**64 - 1, -1))
        if number < 0:
            number = choices.below(2**16)
        edited[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(edited)


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.lmdb"
        path.write_bytes(_file_from(Choices(data)))
        read_all(path)
