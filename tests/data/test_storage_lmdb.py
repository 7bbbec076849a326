from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from ganzoo.data.lmdb_storage import LMDB_METADATA, LMDB_NAMES
from ganzoo.data.lmdb_writer import write_lmdb
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise

IMAGES = [encoded(noise(8, 8, seed=seed)) for seed in range(6)]


def write_entries(path: Path, entries: dict[bytes, bytes], **options: Any) -> Path:
    """Write an LMDB with just these entries, without ganzoo's metadata."""
    with lmdb.open(str(path), map_size=1 << 24, **options) as env, env.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)
    return path


def reference_entries(sizes: tuple[int, ...] = (8,), count: int = 3) -> dict[bytes, bytes]:
    """Return the entries that prepare_data.py of the reference StyleGAN writes."""
    entries = {b"length": str(count).encode()}
    for size in sizes:
        for index in range(count):
            entries[f"{size}-{index:05d}".encode()] = encoded(noise(size, size, seed=index), "jpeg")
    return entries


def test_written_images_are_read(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"
    write_lmdb(path, IMAGES, 8, {"domains": ["wild", "cat"], "labels": [0, 1, 1, 0, 1, 1], "flip": True})
    data = open_path(path)
    assert (data.info.name, data.info.count, data.info.size, data.info.channels) == ("set", 6, 8, 3)
    assert data.info.flip is True
    for index in range(6):
        pixels, label = data.load(index)
        np.testing.assert_array_equal(pixels, np.asarray(noise(8, 8, seed=index)))
        assert data.info.domains[label] == ("wild", "cat", "cat", "wild", "cat", "cat")[index]


def test_the_reference_layout_needs_no_metadata(tmp_path: Path) -> None:
    data = open_path(write_entries(tmp_path / "set.lmdb", reference_entries()))
    assert (data.info.count, data.info.size, data.info.channels) == (3, 8, 3)
    assert (data.info.domains, data.info.flip) == ((), False)
    assert data.load(2)[0].shape == (8, 8, 3)


@pytest.mark.parametrize(("requested", "stored"), [(None, 32), (8, 8), (9, 16), (16, 16), (33, 32)])
def test_one_of_several_sizes_is_chosen(tmp_path: Path, requested: int | None, stored: int) -> None:
    data = open_path(write_entries(tmp_path / "set.lmdb", reference_entries((8, 16, 32))), size=requested)
    assert data.info.size == stored
    assert data.load(0)[0].shape == (stored, stored, 3)


def test_a_folder_of_any_name_and_a_single_file_are_recognised(tmp_path: Path) -> None:
    assert open_path(write_entries(tmp_path / "folder", reference_entries())).info.count == 3
    assert open_path(write_entries(tmp_path / "file.mdb", reference_entries(), subdir=False)).info.count == 3


def test_an_lmdb_can_be_opened_twice_at_once(tmp_path: Path) -> None:
    path = write_entries(tmp_path / "set.lmdb", reference_entries())
    first, second = open_path(path), open_path(tmp_path / "." / "set.lmdb")
    del first
    gc.collect()
    assert second.load(1)[0].shape == (8, 8, 3)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    entries = reference_entries()
    del entries[b"8-00001"]
    data = open_path(write_entries(tmp_path / "set.lmdb", {**entries, b"other": b"", b"length": b"3"}))
    with pytest.raises(DataError, match=r"set\.lmdb/8-00001: can't be read"):
        data.load(1)


@pytest.mark.parametrize("content", [b"", b"not an LMDB at all", bytes(1 << 16)])
@pytest.mark.parametrize("name", ["set.lmdb", "set.lmdb/data.mdb"])
def test_a_file_that_is_not_an_lmdb_is_an_error(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"set\.lmdb: not an LMDB"):
        open_path(tmp_path / "set.lmdb")


def test_freed_pages_may_be_missing_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"
    with lmdb.open(str(path), map_size=1 << 24, sync=False) as env:
        for key, value in reference_entries(count=6).items():
            with env.begin(write=True) as transaction:
                transaction.put(key, value)
                transaction.put(b"gone", bytes(300_000))
                transaction.delete(b"gone")
        full_size = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    assert (path / "data.mdb").stat().st_size < full_size, "this LMDB writes free pages, so the test is void"
    assert len(open_path(path)) == 6


@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_a_truncated_lmdb_is_an_error_not_a_bus_error(tmp_path: Path, fraction: float) -> None:
    path = write_entries(tmp_path / "set.lmdb", reference_entries((8, 64), 30))
    file = path / "data.mdb"
    os.truncate(file, int(file.stat().st_size * fraction))
    with pytest.raises(DataError, match=r"set\.lmdb: a truncated LMDB, .* Copy it again"):
        open_path(path)


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {b"cat": IMAGES[0]},
        {key: value for key, value in reference_entries().items() if key != b"length"},
        {b"length": b"3"},
        {**reference_entries(), b"length": b"-1"},
    ],
)
def test_an_unknown_layout_is_an_error(tmp_path: Path, entries: dict[bytes, bytes]) -> None:
    with pytest.raises(DataError, match="in the layout of StyleGAN"):
        open_path(write_entries(tmp_path / "set.lmdb", entries))


def test_a_length_above_the_number_of_entries_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it should have 999,999,999,999 images, but has only 4 entries"):
        open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), b"length": b"999999999999"}))


@pytest.mark.parametrize("length", [b"three", b"\xff", b"1.5"])
def test_a_length_that_is_not_an_integer_is_an_error(tmp_path: Path, length: bytes) -> None:
    with pytest.raises(DataError, match="a damaged LMDB: invalid metadata"):
        open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), b"length": length}))


@pytest.mark.parametrize(
    "metadata",
    [
        b"{cut",
        b"\xff\xfe",
        b"null",
        b"[1, 2]",
        json.dumps({"domains": ["a", "b"]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1, 1, 1]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1, 2]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1, -1]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1, "b"]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": 3}).encode(),
        json.dumps({"domains": 2, "labels": [0, 1, 1]}).encode(),
        json.dumps({"fit": "squeeze"}).encode(),
        json.dumps({"fit": ["pad"]}).encode(),
        json.dumps({"domains": ["a", "b"], "labels": [0, 1.0, 1]}).encode(),
        b"3",
        b'"text"',
        b'{"domains": ["a", "b"], "labels": [0, 1, NaN]}',
        b'{"domains": ["a", "b"], "labels": [0, 1, 1e999]}',
        b'{"domains": ["a", "b"], "labels": [0, 1, ' + b"9" * 5000 + b"]}",
        b'{"domains": ["a", "b"], "labels": {"0": 0, "1": 1, "2": 0}}',
        b'{"domains": ["a", "b"], "labels": [0, 1, "' + b"long" * 9999 + b'"]}',
        b"[" * 200_000,
        b'{"domains": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"flip": ' + b"9" * 2_000_000 + b"}",
    ],
)
def test_damaged_metadata_are_an_error(tmp_path: Path, metadata: bytes) -> None:
    with pytest.raises(DataError, match=r"set\.lmdb: a damaged LMDB: invalid metadata") as caught:
        open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), LMDB_METADATA: metadata}))
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("names", [b"{}", b"[1, 2, 3]", b'["a", "b"]', b"[", b"[" * 100_000])
def test_damaged_names_are_an_error(tmp_path: Path, names: bytes) -> None:
    metadata = {LMDB_METADATA: b'{"domains": ["a"], "labels": [0, 0, 0]}', LMDB_NAMES: names}
    data = open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), **metadata}))
    with pytest.raises(DataError, match="a damaged LMDB: invalid names"):
        data.names()


def test_names_of_domains_can_be_printed(tmp_path: Path) -> None:
    metadata = b'{"domains": ["\\ud800", "b"], "labels": [0, 1, 1]}'  # half of a surrogate pair
    data = open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), LMDB_METADATA: metadata}))
    assert [name.encode() for name in data.info.domains] == [b"\\ud800", b"b"]


def test_a_value_over_the_limit_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), b"8-00001": bytes(5000)}))
    monkeypatch.setattr("ganzoo.data.lmdb_storage.MAX_FILE_BYTES", 4999)
    with pytest.raises(DataError, match=r"8-00001: can't be read \(5,000 bytes; the limit is 4,999"):
        data.load(1)


@pytest.mark.parametrize(("key", "size"), [(b"length", 21), (LMDB_METADATA, (1 << 20) + 49)])
def test_metadata_over_the_limit_are_not_read(tmp_path: Path, key: bytes, size: int) -> None:
    with pytest.raises(DataError, match=rf"set\.lmdb: a damaged LMDB: invalid metadata \({size:,} bytes"):
        open_path(write_entries(tmp_path / "set.lmdb", {**reference_entries(), key: b"1" * size}))


def test_a_damaged_page_is_found_before_lmdb_reads_it(tmp_path: Path) -> None:
    path = write_entries(tmp_path / "set.lmdb", reference_entries((8, 64), 30))
    with open(path / "data.mdb", "r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 64)
    with pytest.raises(DataError, match=r"set\.lmdb: a damaged LMDB \(page 3: wrong page number or type\)\. Copy"):
        open_path(path)


def test_an_lmdb_with_named_databases_is_an_error(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "set.lmdb"), max_dbs=1) as env:
        env.open_db(b"images")
    with pytest.raises(DataError, match=r"set\.lmdb: an LMDB with named databases"):
        open_path(tmp_path / "set.lmdb")
