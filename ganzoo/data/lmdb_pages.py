"""Checks the pages of an LMDB before LMDB opens it.

LMDB follows the numbers in a file without looking where they lead: with one of them damaged the process dies of a
segmentation fault, with a page missing of a bus error. What this check lets pass can be read without either.

The file is pages of one size, numbered from 0, all numbers little-endian. Pages 0 and 1 are metas, of which the newer
(by its transaction) tells the root of a B-tree. A page of the tree is a header of 16 bytes (its own number, 8 bytes;
nothing, 2; flags, 2; the ends of the pointers, 2; the start of the nodes, 2), pointers of 2 bytes, and from the other
end the nodes: in a branch a page's number (6 bytes), a key's size (2) and the key, of which the first says nothing; in
a leaf the value's size (4), flags (2), the key's size (2), the key and the value. A large value lies in pages of its
own instead, after a header, and their first number (8) is here. Pages that no tree holds are free and never read.
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
# After the header of a meta's page: magic, version, address, size of the map; of the free pages' database the page
# size, flags, depth, 5 counts; of the main one nothing, flags, depth, 3 counts, entries, root; last page, transaction.
META = struct.Struct("<IIQQ IHHQQQQQ IHHQQQQQ QQ")
PAGE_SIZES = [1 << power for power in range(9, 16)]  # a node's place in larger ones would not fit in 2 bytes
HEADER, NODE, POINTER, NUMBER = 16, 8, 2, 8  # bytes
BRANCH, LEAF, IS_META = 0x01, 0x02, 0x08
KIND = 0x6F  # those flags of a page that say what it is; the others are of use in memory only
LARGE_VALUE = 0x01  # the one flag of a node in a database without names and without several values to a key
NO_PAGE = (1 << 64) - 1  # the root of an empty tree
DEEPEST = 32  # levels, as LMDB's cursors can go
LONGEST_KEY = 511  # bytes; LMDB's own limit
ADDRESSES = 1 << 47  # bytes that a process can map
BLOCK = 1 << 20  # bytes of pages that are looked at at once


class Meta(NamedTuple):
    """What the newer meta says."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


def check(path: Path) -> None:
    """DataError unless LMDB can read the LMDB at `path`, a folder or a file, without harm.

    Every page of the tree is read, about one per hundred entries, but none that a large value has of its own: of these
    it is only known that they are there.
    """
    file = path / "data.mdb" if path.is_dir() else path
    try:
        with open_regular(file) as opened:
            _Tree(path, opened).check()
    except OSError as error:
        raise DataError(f"{path}: not an LMDB that can be read ({reason(error)}).") from error


class _Nodes(NamedTuple):
    """The nodes of some pages, in order. All int64 but for `data`, the pages' bytes and some more."""

    data: np.ndarray
    pages: np.ndarray  # (pages,) their numbers
    ends: np.ndarray  # (pages,) the index after each page's last node
    page: np.ndarray  # (nodes,) the number of each one's page
    place: np.ndarray  # (nodes,) where in its page it begins
    at: np.ndarray  # (nodes,) where in `data` it begins
    words: np.ndarray  # (nodes, 4) its first 8 bytes, two by two

    def key(self, index: int) -> bytes:
        start = int(self.at[index]) + NODE
        return self.data[start : start + int(self.words[index, 3])].tobytes()


class _Tree:
    """The main database of an LMDB and the file it is in."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self._bytes = os.fstat(file.fileno()).st_size
        self.meta = self._newer_meta()
        self._present = self._bytes // self.meta.page_size  # pages
        self._taken: list[tuple[np.ndarray, np.ndarray]] = []  # first pages, and how many

    def _newer_meta(self) -> Meta:
        if not self._bytes:
            raise DataError(f"{self.path}: not an LMDB (the file is empty).")
        first = self._meta(0)
        if first.page_size not in PAGE_SIZES:
            raise DataError(f"{self.path}: not an LMDB (pages of {first.page_size:,} bytes).")
        second = self._meta(first.page_size)
        if second.page_size != first.page_size:
            raise self._damaged(f"pages of {first.page_size:,} bytes, or of {second.page_size:,}")
        return second if second.transaction > first.transaction else first

    def _meta(self, start: int) -> Meta:
        head = os.pread(self._file.fileno(), HEADER + META.size, start)
        if len(head) < HEADER + META.size:
            raise DataError(f"{self.path}: not an LMDB, or one cut short ({self._bytes:,} bytes).")
        magic, version, _, _, page_size, *_, flags, depth, _, _, _, entries, root, last, transaction = META.unpack(
            head[HEADER:]
        )
        if magic != MAGIC or not head[10] & IS_META:
            raise DataError(f"{self.path}: not an LMDB (it does not begin as one).")
        if version != VERSION:
            raise DataError(f"{self.path}: an LMDB of version {version}; version {VERSION} is read here.")
        return Meta(page_size, flags, depth, entries, root, last, transaction)

    def check(self) -> None:
        meta = self.meta
        if meta.flags:
            raise self._other_kind()
        if not 1 <= meta.last_page < ADDRESSES // meta.page_size:
            raise self._damaged(f"its last page would be {meta.last_page:,}")
        if meta.root == NO_PAGE and not meta.depth and not meta.entries:
            return
        if not 1 <= meta.depth <= DEEPEST:
            raise self._damaged(f"{meta.depth} levels of pages")
        pages, lowest = self._take(np.array([meta.root], np.uint64)), [b""]
        for _ in range(meta.depth - 1):
            pages, lowest = self._below(pages, lowest)
        self._check_leaves(pages, lowest)

    def _below(self, pages: np.ndarray, lowest: Sequence[bytes]) -> tuple[np.ndarray, list[bytes]]:
        """The pages that these branches lead to, and the lowest key that each may hold."""
        found, keys, parents = list[np.ndarray](), list[bytes](), iter(lowest)
        for nodes in self._blocks(pages, BRANCH):
            numbers = nodes.words[:, 0] | nodes.words[:, 1] << 16 | nodes.words[:, 2] << 32
            found.append(self._take(numbers.astype(np.uint64), owners=nodes.page))
            firsts = {0, *nodes.ends.tolist()}
            keys += [next(parents) if index in firsts else nodes.key(index) for index in range(len(nodes.at))]
        self._refuse_shared()
        return np.concatenate(found), keys

    def _check_leaves(self, pages: np.ndarray, lowest: Sequence[bytes]) -> None:
        entries, before, bounds = 0, b"", iter(lowest)
        for nodes in self._blocks(pages, LEAF):
            self._check_values(nodes)
            self._check_order(nodes)
            ends = nodes.ends.tolist()
            for page, start, end in zip(nodes.pages, [0, *ends], ends):
                if not before < next(bounds) <= nodes.key(start) and entries + start:
                    raise self._damaged("keys out of order", page)
                before = nodes.key(end - 1)
            entries += len(nodes.at)
        if entries != self.meta.entries:
            raise self._damaged(f"{entries:,} entries where {self.meta.entries:,} should be")
        self._refuse_shared()

    def _check_values(self, nodes: _Nodes) -> None:
        """Values lie within their pages, beside each other, or in pages of their own."""
        if (nodes.words[:, 2] & ~LARGE_VALUE).any():
            raise self._other_kind()
        size = nodes.words[:, 0] | nodes.words[:, 1] << 16
        large = nodes.words[:, 2] == LARGE_VALUE
        start = NODE + nodes.words[:, 3]
        end = start + np.where(large, NUMBER, size)
        self._refuse(nodes.place + end > self.meta.page_size, nodes.page, "a value that ends outside of it")
        used = np.add.reduceat(POINTER + end + end % 2, np.append(0, nodes.ends[:-1]))
        self._refuse(HEADER + used > self.meta.page_size, nodes.pages, "entries that overlap")
        numbers = nodes.data[(nodes.at + start)[large, None] + np.arange(NUMBER)].view("<u8")[:, 0]
        self._take(numbers, (HEADER + size[large] - 1) // self.meta.page_size + 1, nodes.page[large])

    def _check_order(self, nodes: _Nodes) -> None:
        """Each key is above the one before it."""
        sizes = nodes.words[:, 3]
        self._refuse((sizes < 1) | (sizes > LONGEST_KEY), nodes.page, "a key of no length or too long")
        width = int(sizes.max())
        keys = np.lib.stride_tricks.sliding_window_view(nodes.data, width)[nodes.at + NODE]
        keys[np.arange(width) >= sizes[:, None]] = 0  # then a key goes before those that it is the beginning of
        differs = keys[1:] != keys[:-1]
        place = np.arange(len(differs)), differs.argmax(axis=1)
        now, then = keys[1:][place], keys[:-1][place]
        above = (now > then) | (now == then) & (sizes[1:] > sizes[:-1])
        self._refuse(~above, nodes.page[1:], "keys out of order")

    def _blocks(self, pages: np.ndarray, kind: int) -> Iterator[_Nodes]:
        """The nodes of these pages, which must be of a kind, some pages at a time."""
        step = BLOCK // self.meta.page_size
        for start in range(0, len(pages), step):
            yield self._nodes(pages[start : start + step], kind)

    def _nodes(self, pages: np.ndarray, kind: int) -> _Nodes:
        size, count = self.meta.page_size, len(pages)
        data = self._read(pages)
        words = data[: count * size].view("<u2").reshape(count, -1)
        numbers = data[: count * size].view("<u8").reshape(count, -1)[:, 0]
        self._refuse((numbers != pages) | (words[:, 5] & KIND != kind), pages, "another page in its place")
        lower, upper = words[:, 6].astype(np.int64), words[:, 7].astype(np.int64)
        counts = (lower - HEADER) // POINTER
        odd = (lower % POINTER != 0) | (lower > upper) | (upper > size) | (counts < (2 if kind == BRANCH else 1))
        self._refuse(odd, pages, "a header that can't be")
        ends = counts.cumsum()
        row = np.repeat(np.arange(count), counts)
        place = words[row, HEADER // 2 + np.arange(len(row)) - (ends - counts)[row]].astype(np.int64)
        self._refuse((place < upper[row]) | (place + NODE > size) | (place % 2 != 0), pages[row], "a pointer out of it")
        heads = words[row[:, None], place[:, None] // 2 + np.arange(4)].astype(np.int64)
        self._refuse(place + NODE + heads[:, 3] > size, pages[row], "a key that ends outside of it")
        return _Nodes(data, pages, ends, pages[row], place, row * size + place, heads)

    def _read(self, pages: np.ndarray) -> np.ndarray:
        """The bytes of these pages, and zeros after them. (Not through a map, where a disk that fails is a signal.)"""
        size, parts, start = self.meta.page_size, list[bytes](), 0
        for end in [*(np.flatnonzero(np.diff(pages) != 1) + 1).tolist(), len(pages)]:  # neighbours are read at once
            parts.append(os.pread(self._file.fileno(), (end - start) * size, int(pages[start]) * size))
            start = end
        data = b"".join(parts)
        if len(data) != len(pages) * size:
            raise OSError(errno.EIO, "pages at its end went away")
        return np.frombuffer(data + bytes(LONGEST_KEY), np.uint8)

    def _take(
        self, pages: np.ndarray, lengths: np.ndarray | None = None, owners: np.ndarray | None = None
    ) -> np.ndarray:
        """These page numbers, uint64, as int64. DataError unless they and so many pages from them on are in the file.

        `lengths` None: one of each; `owners` are the pages where the numbers stand.
        """
        meta = self.meta
        owners = np.zeros(len(pages), np.int64) if owners is None else owners
        # Numbers above the last page may be anything up to 2^64; no other is so large that a sum could overflow.
        self._refuse((pages < 2) | (pages > meta.last_page), owners, "the number of a page that can't be")
        first = pages.astype(np.int64)
        lengths = np.ones(len(first), np.int64) if lengths is None else lengths
        self._refuse(first + lengths - 1 > meta.last_page, owners, "a value that ends after the last page")
        if (first + lengths > self._present).any():
            whole = (meta.last_page + 1) * meta.page_size
            raise DataError(f"{self.path}: an LMDB cut short, {self._bytes:,} bytes of {whole:,}. Copy it again.")
        self._taken.append((first, lengths))
        return first

    def _refuse_shared(self) -> None:
        """DataError if a page was taken twice. (So there's no way in circles, and no page is read more than once.)"""
        first, lengths = (np.concatenate(parts) for parts in zip(*self._taken))
        order = first.argsort()
        first, lengths = first[order], lengths[order]
        self._refuse(first[1:] < (first + lengths)[:-1], first[1:], "in use twice")
        self._taken = [(first, lengths)]

    def _refuse(self, wrong: np.ndarray, pages: np.ndarray, what: str) -> None:
        if wrong.any():
            raise self._damaged(what, pages[wrong.argmax()])

    def _damaged(self, what: str, page: int | None = None) -> DataError:
        where = what if page is None else f"page {page:,}: {what}"
        return DataError(f"{self.path}: a damaged LMDB ({where}). Copy it again or prepare it anew.")

    def _other_kind(self) -> DataError:
        return DataError(
            f"{self.path}: an LMDB that holds databases with names, or several values to a key: not the layout of "
            "StyleGAN, where there is one of each."
        )
