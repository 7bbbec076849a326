"""Nearly right files: what the bytes of an input mean, and edits of bytes and of trees of values."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ganzoo.errors import GanzooError

Item = TypeVar("Item")

_DEEP, _LONG = "<deep>", "<long>"  # what JSON can't be made of by json.dumps: see `to_json`
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    *(0, 1, -1, 2, 3, 7, 255, 1024, 2**31, 2**63, -(2**63), 10**9, 10**30, 10**400),
    *(0.0, -0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        "x",
        "auto",
        "true",
        "-1",
        "..",
        "../../x",
        "$x",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "\x1b[2J",
        "\u202e",
        "é" * 300,
    ),
    *("x" * 100_000, _DEEP, _LONG),
    *([], {}, [[]], [None], {"": None}, [1, 2, 3], {"a": {"b": [1]}}, list(range(1000))),
)


class Choices:
    """Decisions read off the bytes of an input, one after the other; all are 0 when the bytes have come to an end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A whole number from 0 to `count` - 1."""
        width = max(1, ((count - 1).bit_length() + 7) // 8)
        part = self.take(width)
        return int.from_bytes(part, "little") % count

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def rest(self) -> bytes:
        return self._data[self._at :]

    def left(self) -> bool:
        return self._at < len(self._data)


def made(data: bytes, seeds: Sequence[bytes], edit: Callable[[Choices, bytes], bytes] | None = None) -> bytes:
    """The file that an input stands for: after a byte 0 the file itself, else a seed with edits."""
    choices = Choices(data)
    kind = choices.below(3)
    if kind == 0:
        return choices.rest()
    seed = choices.pick(seeds)
    return edit_bytes(choices, seed) if kind == 1 or edit is None else edit(choices, seed)


def edit_bytes(choices: Choices, data: bytes) -> bytes:
    """The bytes with up to four places changed, cut out, doubled or filled."""
    edited = bytearray(data)
    for _ in range(4):
        if not choices.left():
            break
        kind, at, length = choices.below(6), choices.below(len(edited) + 1), choices.pick((1, 2, 4, 8, 64))
        if kind == 0:
            edited[at : at + length] = choices.take(length)
        elif kind == 1:
            edited[at : at + length] = choices.pick((b"\0", b"\xff", b"\x7f", b"\x80", b" ", b"9")) * length
        elif kind == 2:
            del edited[at : at + length]
        elif kind == 3:
            edited[at:at] = edited[at : at + length]
        elif kind == 4 and at < len(edited):
            edited[at] ^= 1 << choices.below(8)
        else:
            del edited[at:]
    return bytes(edited)


def edit_tree(choices: Choices, tree: Any, odd: Sequence[Any] = ODD) -> Any:
    """A copy of nested dicts and lists with up to four parts replaced, taken out, doubled or renamed."""
    root = [copy.deepcopy(tree)]
    for _ in range(1 + choices.below(4)):
        holder, key = choices.pick(list(_places(root)))
        kind = choices.below(6)
        if holder is root or kind < 3:
            holder[key] = copy.deepcopy(choices.pick(odd))
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, dict):
            holder[f"{key}x" if isinstance(key, str) else choices.below(9)] = holder.pop(key)
        else:  # what belongs to another place
            other, place = choices.pick(list(_places(root)))
            holder[key] = copy.deepcopy(other[place])
    return root[0]


def edit_entries(
    choices: Choices, entries: dict[str, bytes], names: Sequence[str], contents: Sequence[bytes]
) -> dict[str, bytes]:
    """The same with up to four entries under another name, with another content, twice or not at all."""
    edited = dict(entries)
    for _ in range(1 + choices.below(4)):
        name = choices.pick(sorted(edited) or ["x"])
        kind, content = choices.below(5), edited.pop(name, b"")
        if kind == 0:
            edited[choices.pick(names)] = content
        elif kind == 1:
            edited[name] = choices.pick(contents)
        elif kind == 2:
            edited[name] = edit_bytes(choices, content)
        elif kind == 3:
            edited.update({name: content, choices.pick([*names, *entries]): content})
    return edited


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree as what holds it and the index or key there; trees here are small."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], (dict, list)):
            yield from _places(holder[key])


def to_json(tree: Any) -> bytes:
    """JSON, with lists in lists far deeper than Python's stack and numbers longer than Python reads."""
    text = json.dumps(tree)
    deep, long = "[" * 100_000 + "]" * 100_000, "9" * 10_000
    return text.replace(json.dumps(_DEEP), deep).replace(json.dumps(_LONG), long).encode()


@contextlib.contextmanager
def own_errors() -> Iterator[None]:
    """A GanzooError may come out of the body; it must say something, and all else gets through."""
    try:
        yield
    except GanzooError as error:
        assert str(error).strip(), "an error without a message"
