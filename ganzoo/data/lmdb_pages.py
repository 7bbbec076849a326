"""Validate the pages of an LMDB before LMDB opens it.

LMDB follows page numbers and offsets in a file without checking them. A wrong number kills the process with a
segmentation fault, a missing page with a bus error; a file that passes this check causes neither.

The file consists of pages of one size, numbered from 0; all numbers are little-endian. Pages 0 and 1 are meta pages;
the newer one (with the higher transaction number) points to the root of a B-tree. A page of the tree has a header of 16
bytes (its own number, 8 bytes; unused, 2; flags, 2; the end of the pointers, 2; the start of the nodes, 2), then
pointers of 2 bytes, and at its end the nodes. A node of a branch page has a page number (6 bytes), a key size (2) and a
key; the first key of a page is ignored. A node of a leaf page has a value size (4), flags (2), a key size (2), the key
and the value. A large value is stored in pages of its own, after a header; in its place, the node has the number of the
first of these pages (8). Pages outside the tree are free and never read.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ganzoo.errors import DataError, reason
from ganzoo.files import open_regular

MAGIC, VERSION = 0xBEEFC0DE, 1
# After the header of a meta page: magic, version, address and size of the map; for the database of free pages: page
# size, flags, depth, 3 page counts, entries, root; for the main database: unused, flags, depth, 3 page counts, entries,
# root; last page, transaction.
META = struct.Struct("<IIQQ IHHQQQQQ IHHQQQQQ QQ")
PAGE_SIZES = [1 << power for power in range(9, 16)]  # node offsets in larger pages would not fit in 2 bytes
HEADER, NODE, POINTER, NUMBER = 16, 8, 2, 8  # bytes
BRANCH, LEAF, IS_META = 0x01, 0x02, 0x08
PAGE_TYPE_MASK = 0x6F  # the page flags that give the type of a page; the others are used only in memory
OVERFLOW_FLAG = 0x01  # the only node flag in a database without named databases and without duplicate keys
NO_PAGE = (1 << 64) - 1  # the root of an empty tree
MAX_DEPTH = 32  # levels; the limit of LMDB's cursors
MAX_KEY_BYTES = 511  # bytes; LMDB's limit
ADDRESS_SPACE = 1 << 47  # bytes that a process can map
BLOCK_BYTES = 1 << 20  # bytes of pages that are checked at once


class Meta(NamedTuple):
    """The relevant fields of a meta page."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


def check_pages(path: Path) -> None:
    """Raise DataError unless LMDB can safely read the LMDB at `path`, a folder or a file.

    Reads every page of the tree, about one per hundred entries, but not the separate pages of large values; these are
    only checked to be within the file.
    """
    file = path / "data.mdb" if path.is_dir() else path
    try:
        with open_regular(file) as opened:
            _Tree(path, opened).check()
    except OSError as error:
        raise DataError(f"{path}: can't be read as an LMDB ({reason(error)}).") from error


class _Nodes(NamedTuple):
    """The nodes of a block of pages, in order. All arrays are int64 except `data`, the pages' bytes plus padding."""

    data: np.ndarray
    pages: np.ndarray  # (pages,) page numbers
    ends: np.ndarray  # (pages,) the index after each page's last node
    page: np.ndarray  # (nodes,) the number of the node's page
    page_offset: np.ndarray  # (nodes,) the node's offset in its page
    data_offset: np.ndarray  # (nodes,) the node's offset in `data`
    words: np.ndarray  # (nodes, 4) the node's first 8 bytes as four 16-bit numbers

    def key(self, index: int) -> bytes:
        start = int(self.data_offset[index]) + NODE
        return self.data[start : start + int(self.words[index, 3])].tobytes()


class _Tree:
    """The B-tree of an LMDB's main database."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self._file_bytes = os.fstat(file.fileno()).st_size
        self.meta = self._newer_meta()
        self._pages_in_file = self._file_bytes // self.meta.page_size
        self._claimed: list[tuple[np.ndarray, np.ndarray]] = []  # ranges of used pages: first page, length

    def _newer_meta(self) -> Meta:
        if not self._file_bytes:
            raise DataError(f"{self.path}: not an LMDB (the file is empty).")
        first = self._meta(0)
        if first.page_size not in PAGE_SIZES:
            raise DataError(f"{self.path}: not an LMDB (pages of {first.page_size:,} bytes).")
        second = self._meta(first.page_size)
        if second.page_size != first.page_size:
            raise self._damaged(f"page sizes of both {first.page_size:,} and {second.page_size:,} bytes")
        return second if second.transaction > first.transaction else first

    def _meta(self, start: int) -> Meta:
        head = os.pread(self._file.fileno(), HEADER + META.size, start)
        if len(head) < HEADER + META.size:
            raise DataError(f"{self.path}: not an LMDB, or a truncated one ({self._file_bytes:,} bytes).")
        magic, version, _, _, page_size, *_, flags, depth, _, _, _, entries, root, last, transaction = META.unpack(
            head[HEADER:]
        )
        if magic != MAGIC or not head[10] & IS_META:
            raise DataError(f"{self.path}: not an LMDB (its first bytes are not those of an LMDB).")
        if version != VERSION:
            raise DataError(f"{self.path}: an LMDB of version {version}; only version {VERSION} is supported.")
        return Meta(page_size, flags, depth, entries, root, last, transaction)

    def check(self) -> None:
        meta = self.meta
        if meta.flags:
            raise self._other_kind()
        if not 1 <= meta.last_page < ADDRESS_SPACE // meta.page_size:
            raise self._damaged(f"invalid last page {meta.last_page:,}")
        if meta.root == NO_PAGE and not meta.depth and not meta.entries:
            return
        if not 1 <= meta.depth <= MAX_DEPTH:
            raise self._damaged(f"{meta.depth} levels of pages")
        pages, lowest = self._claim(np.array([meta.root], np.uint64)), [b""]
        for _ in range(meta.depth - 1):
            pages, lowest = self._children(pages, lowest)
        self._check_leaves(pages, lowest)

    def _children(self, pages: np.ndarray, lowest: Sequence[bytes]) -> tuple[np.ndarray, list[bytes]]:
        """Return the child pages of these branch pages, and the lowest key that each child may contain."""
        found, keys, parents = list[np.ndarray](), list[bytes](), iter(lowest)
        for nodes in self._blocks(pages, BRANCH):
            numbers = nodes.words[:, 0] | nodes.words[:, 1] << 16 | nodes.words[:, 2] << 32
            found.append(self._claim(numbers.astype(np.uint64), owners=nodes.page))
            firsts = {0, *nodes.ends.tolist()}
            keys += [next(parents) if index in firsts else nodes.key(index) for index in range(len(nodes.data_offset))]
        self._check_unshared()
        return np.concatenate(found), keys

    def _check_leaves(self, pages: np.ndarray, lowest: Sequence[bytes]) -> None:
        entries, previous, bounds = 0, b"", iter(lowest)
        for nodes in self._blocks(pages, LEAF):
            self._check_values(nodes)
            self._check_order(nodes)
            ends = nodes.ends.tolist()
            for page, start, end in zip(nodes.pages, [0, *ends], ends):
                if not previous < next(bounds) <= nodes.key(start) and entries + start:
                    raise self._damaged("keys out of order", page)
                previous = nodes.key(end - 1)
            entries += len(nodes.data_offset)
        if entries != self.meta.entries:
            raise self._damaged(f"{entries:,} entries instead of {self.meta.entries:,}")
        self._check_unshared()

    def _check_values(self, nodes: _Nodes) -> None:
        """Check that values are within their page and don't overlap, or are in pages of their own."""
        if (nodes.words[:, 2] & ~OVERFLOW_FLAG).any():
            raise self._other_kind()
        size = nodes.words[:, 0] | nodes.words[:, 1] << 16
        large = nodes.words[:, 2] == OVERFLOW_FLAG
        start = NODE + nodes.words[:, 3]
        end = start + np.where(large, NUMBER, size)
        self._raise_if(nodes.page_offset + end > self.meta.page_size, nodes.page, "a value extends past its end")
        used = np.add.reduceat(POINTER + end + end % 2, np.append(0, nodes.ends[:-1]))
        self._raise_if(HEADER + used > self.meta.page_size, nodes.pages, "overlapping entries")
        numbers = nodes.data[(nodes.data_offset + start)[large, None] + np.arange(NUMBER)].view("<u8")[:, 0]
        self._claim(numbers, (HEADER + size[large] - 1) // self.meta.page_size + 1, nodes.page[large])

    def _check_order(self, nodes: _Nodes) -> None:
        """Check that the keys are in ascending order."""
        sizes = nodes.words[:, 3]
        self._raise_if((sizes < 1) | (sizes > MAX_KEY_BYTES), nodes.page, "an empty or overlong key")
        width = int(sizes.max())
        keys = np.lib.stride_tricks.sliding_window_view(nodes.data, width)[nodes.data_offset + NODE]
        keys[np.arange(width) >= sizes[:, None]] = 0  # zero padding; if rows are then equal, the sizes decide
        differs = keys[1:] != keys[:-1]
        place = np.arange(len(differs)), differs.argmax(axis=1)
        current, previous = keys[1:][place], keys[:-1][place]
        ascending = (current > previous) | (current == previous) & (sizes[1:] > sizes[:-1])
        self._raise_if(~ascending, nodes.page[1:], "keys out of order")

    def _blocks(self, pages: np.ndarray, kind: int) -> Iterator[_Nodes]:
        """Yield the nodes of these pages in blocks; DataError if a page is not of type `kind`."""
        step = BLOCK_BYTES // self.meta.page_size
        for start in range(0, len(pages), step):
            yield self._nodes(pages[start : start + step], kind)

    def _nodes(self, pages: np.ndarray, kind: int) -> _Nodes:
        size, count = self.meta.page_size, len(pages)
        data = self._read(pages)
        words = data[: count * size].view("<u2").reshape(count, -1)
        numbers = data[: count * size].view("<u8").reshape(count, -1)[:, 0]
        self._raise_if((numbers != pages) | (words[:, 5] & PAGE_TYPE_MASK != kind), pages, "wrong page number or type")
        lower, upper = words[:, 6].astype(np.int64), words[:, 7].astype(np.int64)
        counts = (lower - HEADER) // POINTER
        invalid = (lower % POINTER != 0) | (lower > upper) | (upper > size) | (counts < (2 if kind == BRANCH else 1))
        self._raise_if(invalid, pages, "invalid header")
        ends = counts.cumsum()
        row = np.repeat(np.arange(count), counts)
        place = words[row, HEADER // 2 + np.arange(len(row)) - (ends - counts)[row]].astype(np.int64)
        self._raise_if(
            (place < upper[row]) | (place + NODE > size) | (place % 2 != 0), pages[row], "a node pointer outside it"
        )
        heads = words[row[:, None], place[:, None] // 2 + np.arange(4)].astype(np.int64)
        self._raise_if(place + NODE + heads[:, 3] > size, pages[row], "a key extends past its end")
        return _Nodes(data, pages, ends, pages[row], place, row * size + place, heads)

    def _read(self, pages: np.ndarray) -> np.ndarray:
        """Return the bytes of these pages, zero-padded. (In a memory map, a disk error would raise SIGBUS.)"""
        size, parts, start = self.meta.page_size, list[bytes](), 0
        for end in [*(np.flatnonzero(np.diff(pages) != 1) + 1).tolist(), len(pages)]:  # adjacent pages in one read
            parts.append(os.pread(self._file.fileno(), (end - start) * size, int(pages[start]) * size))
            start = end
        data = b"".join(parts)
        if len(data) != len(pages) * size:
            raise OSError(errno.EIO, "the file was truncated while it was read")
        return np.frombuffer(data + bytes(MAX_KEY_BYTES), np.uint8)

    def _claim(
        self, pages: np.ndarray, lengths: np.ndarray | None = None, owners: np.ndarray | None = None
    ) -> np.ndarray:
        """Mark ranges of pages as used and return their first pages as int64. DataError if a range is not in the file.

        `pages`: first pages, uint64; `lengths`: pages per range (None: 1 each); `owners`: the pages that contain these
        page numbers, for error messages.
        """
        meta = self.meta
        owners = np.zeros(len(pages), np.int64) if owners is None else owners
        # Check the numbers first, as uint64: damaged ones can be up to 2^64. Sums of valid ones don't overflow.
        self._raise_if((pages < 2) | (pages > meta.last_page), owners, "invalid page number")
        first = pages.astype(np.int64)
        lengths = np.ones(len(first), np.int64) if lengths is None else lengths
        self._raise_if(first + lengths - 1 > meta.last_page, owners, "a value extends past the last page")
        if (first + lengths > self._pages_in_file).any():
            expected = (meta.last_page + 1) * meta.page_size
            raise DataError(
                f"{self.path}: a truncated LMDB, {self._file_bytes:,} bytes of {expected:,}. Copy it again."
            )
        self._claimed.append((first, lengths))
        return first

    def _check_unshared(self) -> None:
        """Raise DataError if a page is used twice. This rules out cycles, and so no page is read more than once."""
        first, lengths = (np.concatenate(parts) for parts in zip(*self._claimed))
        order = first.argsort()
        first, lengths = first[order], lengths[order]
        self._raise_if(first[1:] < (first + lengths)[:-1], first[1:], "referenced twice")
        self._claimed = [(first, lengths)]

    def _raise_if(self, wrong: np.ndarray, pages: np.ndarray, what: str) -> None:
        if wrong.any():
            raise self._damaged(what, pages[wrong.argmax()])

    def _damaged(self, what: str, page: int | None = None) -> DataError:
        where = what if page is None else f"page {page:,}: {what}"
        return DataError(f"{self.path}: a damaged LMDB ({where}). Copy it again or prepare it again.")

    def _other_kind(self) -> DataError:
        return DataError(
            f"{self.path}: an LMDB with named databases or several values per key, unlike the layout of StyleGAN."
        )
