"""Files from fuzzer input: the input's bytes choose a seed file, and edits of that file's bytes or values."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ganzoo.errors import GanzooError

Item = TypeVar("Item")

_DEEP_LIST, _LONG_NUMBER = "<deep>", "<long>"  # placeholders for JSON that json.dumps can't write: see `to_json`
ODD_VALUES: tuple[Any, ...] = (
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
    *("x" * 100_000, _DEEP_LIST, _LONG_NUMBER),
    *([], {}, [[]], [None], {"": None}, [1, 2, 3], {"a": {"b": [1]}}, list(range(1000))),
)


class Choices:
    """Choices read from the bytes of an input, in order. After the last byte, every number is 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """Return an integer from 0 to `count` - 1."""
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

    def any_left(self) -> bool:
        return self._at < len(self._data)


def file_from(data: bytes, seeds: Sequence[bytes], edit: Callable[[Choices, bytes], bytes] | None = None) -> bytes:
    """Return the file that an input describes: the rest of the input if the first byte is a multiple of 3, otherwise an
    edited seed."""
    choices = Choices(data)
    kind = choices.below(3)
    if kind == 0:
        return choices.rest()
    seed = choices.pick(seeds)
    return edit_bytes(choices, seed) if kind == 1 or edit is None else edit(choices, seed)


def edit_bytes(choices: Choices, data: bytes) -> bytes:
    """Return the bytes with up to four edits: bytes replaced, deleted or repeated, a bit flipped, the end cut off."""
    edited = bytearray(data)
    for _ in range(4):
        if not choices.any_left():
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


def edit_tree(choices: Choices, tree: Any, odd_values: Sequence[Any] = ODD_VALUES) -> Any:
    """Return a copy of nested dicts and lists, with up to four parts deleted, renamed, or replaced by an odd value or a
    copy of another part."""
    root = [copy.deepcopy(tree)]
    for _ in range(1 + choices.below(4)):
        container, key = choices.pick(list(_locations(root)))
        kind = choices.below(6)
        if container is root or kind < 3:
            container[key] = copy.deepcopy(choices.pick(odd_values))
        elif kind == 3:
            del container[key]
        elif kind == 4 and isinstance(container, dict):
            container[f"{key}x" if isinstance(key, str) else choices.below(9)] = container.pop(key)
        else:  # a part from another location
            other, other_key = choices.pick(list(_locations(root)))
            container[key] = copy.deepcopy(other[other_key])
    return root[0]


def edit_entries(
    choices: Choices, entries: dict[str, bytes], names: Sequence[str], contents: Sequence[bytes]
) -> dict[str, bytes]:
    """Return an archive's entries (content by name) with up to four renamed, changed, duplicated or removed."""
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


def _locations(container: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the index or key of every part of a small tree."""
    keys = list(container) if isinstance(container, dict) else range(len(container))
    for key in keys:
        yield container, key
        if isinstance(container[key], (dict, list)):
            yield from _locations(container[key])


def to_json(tree: Any) -> bytes:
    """Return JSON. The placeholders become lists nested too deeply for Python, and numbers with too many digits."""
    text = json.dumps(tree)
    deep, long = "[" * 100_000 + "]" * 100_000, "9" * 10_000
    return text.replace(json.dumps(_DEEP_LIST), deep).replace(json.dumps(_LONG_NUMBER), long).encode()


@contextlib.contextmanager
def ganzoo_errors_allowed() -> Iterator[None]:
    """Suppress a GanzooError in the body if it has a message. All other errors are passed on."""
    try:
        yield
    except GanzooError as error:
        assert str(error).strip(), "an error without a message"
