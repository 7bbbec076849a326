from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.data.lmdb_pages import check_pages
from ganzoo.errors import DataError

PAGE = 4096  # bytes; page size of the LMDBs in this file
FREE_DB, MAIN_DB, LAST_PAGE = 40, 88, 136  # offsets of these fields in a meta page
DEPTH, ENTRIES, ROOT = MAIN_DB + 6, MAIN_DB + 32, MAIN_DB + 40
SIZES = (0, 30, 400, 2500, 9000)  # of values, in bytes; the larger ones are stored on separate pages

# Keys, and the sizes of their values.
value_sizes = st.dictionaries(st.binary(min_size=1, max_size=60), st.integers(0, 6000), max_size=120)


def write(path: Path, steps: Sequence[Mapping[bytes, bytes | None]], **options: bool) -> Path:
    """Write an LMDB to a single file, one transaction per step; a value of None deletes its key."""
    with lmdb.open(str(path), map_size=1 << 26, subdir=False, lock=False, sync=False, **options) as env:
        for step in steps:
            with env.begin(write=True) as transaction:
                for key, value in step.items():
                    transaction.delete(key) if value is None else transaction.put(key, value)
    return path


@cache
def intact() -> bytes:
    """Return the bytes of an LMDB of 40 images at two sizes, with large values, free pages and a tree of two levels."""
    rng = random.Random(0)
    images = {b"%d-%05d" % (size, at): rng.randbytes(rng.choice(SIZES)) for at in range(40) for size in (8, 16)}
    deleted = {b"gone-%d" % index: bytes(3000) for index in range(9)}
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "x"), [{**images, **deleted, b"length": b"40"}, dict.fromkeys(deleted)])
        return path.read_bytes()


def read_number(data: bytes | bytearray, form: str, offset: int) -> int:
    return int(struct.unpack_from(form, data, offset)[0])


def newer_meta() -> int:
    """Return the offset of the newer meta page."""
    return PAGE if read_number(intact(), "<Q", PAGE + LAST_PAGE + 8) > read_number(intact(), "<Q", LAST_PAGE + 8) else 0


def root_page() -> int:
    """Return the offset of the root page."""
    return PAGE * read_number(intact(), "<Q", newer_meta() + ROOT)


def leaf(large: bool = False) -> tuple[int, int]:
    """Return the offsets of a leaf page and of its first node with a large (or small) value."""
    data = intact()
    for pointer in range(root_page() + 16, root_page() + read_number(data, "<H", root_page() + 12), 2):
        branch = root_page() + read_number(data, "<H", pointer)
        start = PAGE * read_number(data, "<I", branch)
        for place in range(start + 16, start + read_number(data, "<H", start + 12), 2):
            node = start + read_number(data, "<H", place)
            if (read_number(data, "<H", node + 4) == 1) is large:
                return start, node
    raise AssertionError("no such node")


def large_value_pointer() -> int:
    """Return the offset, in a leaf, of the number of the first page of a large value."""
    _, node = leaf(large=True)
    return node + 8 + read_number(intact(), "<H", node + 6)


def child_pointer(index: int) -> int:
    """Return the offset of the `index`-th page number in the root."""
    return root_page() + read_number(intact(), "<H", root_page() + 16 + 2 * index)


# Intact files


@settings(max_examples=40)
@given(value_sizes, st.data())
def test_files_that_lmdb_has_written_are_accepted(sizes: dict[bytes, int], data: st.DataObject) -> None:
    deleted = data.draw(st.sets(st.sampled_from(sorted(sizes)))) if sizes else set()
    updated = data.draw(st.dictionaries(st.sampled_from(sorted(sizes)), st.integers(0, 9000))) if sizes else {}
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "x"), [{key: bytes(size) for key, size in sizes.items()}, dict.fromkeys(deleted)])
        check_pages(path)
        check_pages(write(path, [{key: bytes(size) for key, size in updated.items()}]))


@pytest.mark.parametrize("count", [1, 3000])
def test_many_entries_are_accepted(tmp_path: Path, count: int) -> None:
    entries = {b"%d-%05d" % (size, index): bytes(index % 90) for index in range(count) for size in (8, 16, 128)}
    check_pages(write(tmp_path / "x", [entries]))
    check_pages(write(tmp_path / "x", [dict.fromkeys(list(entries)[::3]), {b"length": b"1"}]))


def test_a_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(intact())
    check_pages(tmp_path)


def test_an_empty_lmdb_and_one_with_only_free_pages_are_accepted(tmp_path: Path) -> None:
    check_pages(write(tmp_path / "x", [{}]))
    check_pages(write(tmp_path / "x", [{b"key": bytes(5000)}, {b"key": None}]))


def test_the_longest_keys_are_accepted(tmp_path: Path) -> None:
    keys = [b"a" * 511, b"a" * 510 + b"b", b"a" * 510, b"a\0", b"a", b"a\0\0", b"\xff" * 511, b"\0"]
    check_pages(write(tmp_path / "x", [dict.fromkeys(keys, b"value")]))


# Damaged files


Change = Callable[[bytearray], object]


def put(form: str, offset: Callable[[], int], value: int) -> Change:
    return lambda data: struct.pack_into(form, data, offset(), value)


DAMAGE: dict[str, tuple[Change, str]] = {
    "magic": (put("<I", lambda: PAGE + 16, 7), "not an LMDB .*first bytes"),
    "version": (put("<I", lambda: 20, 2), "version 2"),
    "page size": (put("<I", lambda: FREE_DB, 4097), "not an LMDB .*4,097"),
    "no page size": (put("<I", lambda: FREE_DB, 0), "not an LMDB"),
    "two page sizes": (put("<I", lambda: PAGE + FREE_DB, 8192), "damaged LMDB .*8,192"),
    "several values": (put("<H", lambda: newer_meta() + MAIN_DB + 4, 4), "several values per key"),
    "last page, wrapped": (put("<Q", lambda: newer_meta() + LAST_PAGE, 1 << 52), "damaged LMDB .*last page"),
    "last page, too small": (put("<Q", lambda: newer_meta() + LAST_PAGE, 3), "invalid page number"),
    "root": (put("<Q", lambda: newer_meta() + ROOT, 1 << 63), "invalid page number"),
    "no root": (put("<Q", lambda: newer_meta() + ROOT, (1 << 64) - 1), "invalid page number"),
    "root is a meta page": (put("<Q", lambda: newer_meta() + ROOT, 1), "invalid page number"),
    "depth": (put("<H", lambda: newer_meta() + DEPTH, 60_000), "60000 levels"),
    "too deep": (put("<H", lambda: newer_meta() + DEPTH, 3), "wrong page number or type"),
    "not deep enough": (put("<H", lambda: newer_meta() + DEPTH, 1), "wrong page number or type"),
    "entries": (put("<Q", lambda: newer_meta() + ENTRIES, 9), "81 entries instead of 9"),
    "number of a page": (put("<Q", lambda: leaf()[0], 3), "wrong page number or type"),
    "type of a page": (put("<H", lambda: leaf()[0] + 10, 4), "wrong page number or type"),
    "end of pointers": (put("<H", lambda: leaf()[0] + 12, 60_000), "invalid header"),
    "start of nodes": (put("<H", lambda: leaf()[0] + 14, 5000), "invalid header"),
    "no nodes": (put("<H", lambda: leaf()[0] + 12, 16), "invalid header"),
    "one branch": (put("<H", lambda: root_page() + 12, 18), "invalid header"),
    "pointer outside": (put("<H", lambda: leaf()[0] + 16, 4090), "a node pointer outside it"),
    "pointer to a pointer": (put("<H", lambda: leaf()[0] + 16, 16), "a node pointer outside it"),
    "key": (put("<H", lambda: leaf()[1] + 6, 4090), "a key extends past its end"),
    "no key": (put("<H", lambda: leaf()[1] + 6, 0), "an empty or overlong key"),
    "value": (put("<H", lambda: leaf()[1] + 2, 1), "a value extends past its end"),
    "flags of a node": (put("<H", lambda: leaf()[1] + 4, 2), "named databases"),
    "large value's page": (put("<Q", large_value_pointer, 1 << 60), "invalid page number"),
    "large value's size": (put("<H", lambda: leaf(True)[1] + 2, 0x7000), "extends past the last page"),
    "large value in the tree": (put("<Q", large_value_pointer, root_page() // PAGE), "referenced twice"),
    "branch out of the file": (put("<I", lambda: child_pointer(1), 1 << 30), "invalid page number"),
    "branch to itself": (put("<I", lambda: child_pointer(1), root_page() // PAGE), "referenced twice"),
    "two branches to one page": (
        put("<I", lambda: child_pointer(1), read_number(intact(), "<I", child_pointer(0))),
        "referenced twice",
    ),
    "key of a branch": (put("<B", lambda: child_pointer(1) + 8, 255), "keys out of order"),
    "key of a leaf": (put("<B", lambda: leaf()[1] + 8, 255), "keys out of order"),
}


def write_damaged(path: Path, change: Change) -> Path:
    """Write the intact LMDB with a change."""
    data = bytearray(intact())
    change(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_gives_a_one_line_error(tmp_path: Path, name: str) -> None:
    change, message = DAMAGE[name]
    with pytest.raises(DataError, match=rf"set\.lmdb: .*{message}") as caught:
        check_pages(write_damaged(tmp_path / "set.lmdb", change))
    assert "\n" not in str(caught.value)


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    start, _ = leaf()

    def widen(data: bytearray) -> None:
        """Extend the node with the lowest offset to the end of the page, over all others."""
        node = start + read_number(data, "<H", start + 14)
        struct.pack_into("<HHH", data, node, PAGE - (node - start) - 8 - read_number(data, "<H", node + 6), 0, 0)

    with pytest.raises(DataError, match="overlap"):
        check_pages(write_damaged(tmp_path / "x", widen))


# What remains: a number of bytes, a fraction of the file or, if negative, all but this number of bytes.
@pytest.mark.parametrize("remaining", [PAGE * 2 + 1, 0.5, -PAGE, -1])
def test_a_truncated_file_is_reported_as_truncated(tmp_path: Path, remaining: float) -> None:
    write(tmp_path / "x", [{b"8-%05d" % index: bytes(5000) for index in range(50)}])
    size = (tmp_path / "x").stat().st_size
    os.truncate(
        tmp_path / "x", int(remaining if remaining > 1 else size * remaining if remaining > 0 else size + remaining)
    )
    with pytest.raises(DataError, match=r"a truncated LMDB, [\d,]+ bytes of [\d,]+\. Copy it again"):
        check_pages(tmp_path / "x")


@pytest.mark.parametrize("size", [1, 100, PAGE, PAGE + 100])
def test_a_file_shorter_than_its_header_is_not_an_lmdb(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(intact()[:size])
    with pytest.raises(DataError, match="not an LMDB"):
        check_pages(tmp_path / "x")


@pytest.mark.parametrize("name", ["x", "data.mdb"])
def test_a_file_that_is_not_regular_is_refused_without_waiting(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        check_pages(tmp_path if name == "data.mdb" else tmp_path / name)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        check_pages(tmp_path)


def test_a_sparse_file_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    os.truncate(tmp_path / "x", 1 << 40)
    with pytest.raises(DataError, match="not an LMDB"):
        check_pages(tmp_path / "x")


def test_named_databases_and_duplicate_keys_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "x"), subdir=False, lock=False, max_dbs=2) as env:
        env.open_db(b"images")
    with pytest.raises(DataError, match="named databases"):
        check_pages(tmp_path / "x")


# LMDB can read every file that is accepted. It reads in another process, so that a crash fails only this test.

READER = """
import sys, lmdb
for line in sys.stdin:
    try:
        with lmdb.open(line.strip(), subdir=False, readonly=True, lock=False) as env, env.begin() as transaction:
            keys = [key for key, _ in transaction.cursor()]
            complete = all(transaction.get(key) is not None for key in keys) and len(keys) == env.stat()["entries"]
            transaction.get(b"8-00099")
        print("complete" if complete else "incomplete", flush=True)
    except lmdb.Error as error:
        print(error, flush=True)
"""


def structural_offsets() -> list[int]:
    """Return the offsets of the bytes that aren't data: meta pages, headers, pointers and the beginnings of nodes."""
    data, found = intact(), [*range(8, 152), *range(PAGE + 8, PAGE + 152)]
    starts = [
        root_page(),
        *(PAGE * read_number(data, "<I", child_pointer(index)) for index in range(number_of_children())),
    ]
    for start in starts:
        end = read_number(data, "<H", start + 12)
        found += range(start, start + end)
        for pointer in range(start + 16, start + end, 2):
            node = start + read_number(data, "<H", pointer)
            found += range(node, min(node + 24, start + PAGE))
    return found


def number_of_children() -> int:
    return (read_number(intact(), "<H", root_page() + 12) - 16) // 2


def test_damaged_files_are_refused_or_read_by_lmdb_without_harm(tmp_path: Path) -> None:
    rng, offsets, counts = random.Random(5), structural_offsets(), {"refused": 0, "complete": 0}
    with subprocess.Popen([sys.executable, "-c", READER], stdin=-1, stdout=-1, text=True, bufsize=1) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for _ in range(400):
            data = bytearray(intact())
            for _ in range(rng.choice((1, 1, 2, 5))):
                data[rng.choice(offsets)] = rng.choice((0, 1, 2, 16, 127, 255, rng.randrange(256)))
            if rng.random() < 0.1:
                del data[rng.randrange(len(data)) :]
            (tmp_path / "x").write_bytes(data)
            try:
                check_pages(tmp_path / "x")
            except DataError:
                counts["refused"] += 1
                continue
            reader.stdin.write(f"{tmp_path / 'x'}\n")
            assert reader.stdout.readline() == "complete\n"
            counts["complete"] += 1
        reader.stdin.close()
    assert reader.returncode == 0
    assert min(counts.values()) > 20, counts
