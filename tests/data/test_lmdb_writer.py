from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest

from ganzoo.data import lmdb_writer
from ganzoo.data.lmdb_writer import COMMIT_EVERY, write_lmdb
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise

IMAGE = encoded(noise(8, 8))


def test_images_from_several_transactions_are_all_stored(tmp_path: Path) -> None:
    count = 2 * COMMIT_EVERY + 1
    write_lmdb(tmp_path / "set.lmdb", (IMAGE + b"%d" % index for index in range(count)), 8, {})
    data = open_path(tmp_path / "set.lmdb")
    assert data.info.count == count
    assert all(data.storage.read(key).endswith(b"%d" % index) for index, key in enumerate(data.storage.keys))


def test_parent_folders_are_created_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "a" / "b" / "set.lmdb", [IMAGE], 8, {})
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["set.lmdb"]


def test_the_lmdb_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"

    def images() -> Iterator[bytes]:
        for _ in range(COMMIT_EVERY + 1):
            yield IMAGE
            assert not path.exists()

    write_lmdb(path, images(), 8, {})
    assert path.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, ZeroDivisionError])
def test_a_failure_leaves_no_files(tmp_path: Path, error: type[BaseException]) -> None:
    def images() -> Iterator[bytes]:
        for _ in range(COMMIT_EVERY + 1):
            yield IMAGE
        raise error("half way")

    with pytest.raises(error):
        write_lmdb(tmp_path / "set.lmdb", images(), 8, {})
    assert list(tmp_path.iterdir()) == []


def test_the_lmdb_of_the_faster_of_two_processes_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"

    def images() -> Iterator[bytes]:
        yield IMAGE
        write_lmdb(path, [IMAGE, IMAGE], 8, {})

    write_lmdb(path, images(), 8, {})
    assert open_path(path).info.count == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.lmdb"]


def test_an_existing_path_is_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"
    path.mkdir()
    (path / "data.mdb").write_bytes(b"somebody's")
    write_lmdb(path, [IMAGE], 8, {})
    assert (path / "data.mdb").read_bytes() == b"somebody's"


def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"set\.lmdb: can't be written"):
        write_lmdb(tmp_path / "file" / "set.lmdb", [IMAGE], 8, {})


def test_an_lmdb_without_images_is_not_a_data_set(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "set.lmdb", [], 8, {})
    with pytest.raises(DataError, match="an LMDB without images"):
        open_path(tmp_path / "set.lmdb")


def test_the_memory_map_grows_as_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_writer, "MIN_MAP_SIZE", 1 << 20)
    monkeypatch.setattr(lmdb_writer, "MAP_RESERVE", 1 << 18)
    rng = np.random.default_rng(0)
    files = [rng.bytes(size) for size in rng.integers(1, 60_000, 400).tolist()]
    write_lmdb(tmp_path / "out.lmdb", files, 8, {})
    with lmdb.open(str(tmp_path / "out.lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        assert [transaction.get(f"8-{index:05d}".encode()) for index in range(400)] == files
        assert env.info()["map_size"] < 1 << 27


def test_a_smaller_memory_map_is_used_if_address_space_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_lmdb, requested = lmdb.open, list[int]()

    def limited(path: bytes, map_size: int, **options: object) -> object:
        requested.append(map_size)
        if map_size > 3 << 20:
            raise lmdb.MemoryError("Cannot allocate memory")
        return open_lmdb(path, map_size=map_size, **options)

    monkeypatch.setattr(lmdb_writer, "MIN_MAP_SIZE", 1 << 20)
    monkeypatch.setattr(lmdb_writer, "MAP_RESERVE", 1 << 18)
    monkeypatch.setattr(lmdb, "open", limited)
    write_lmdb(tmp_path / "out.lmdb", [bytes(10_000)] * 20, 8, {})
    assert requested[:2] == [4 << 20, 2 << 20]
    with pytest.raises(DataError, match=r"more\.lmdb: can't be written \(address space is exhausted; raise"):
        write_lmdb(tmp_path / "more.lmdb", [bytes(10_000)] * 900, 8, {})
    assert [path.name for path in tmp_path.iterdir()] == ["out.lmdb"]
