"""Safe pickle reader: a stack machine for the few opcodes that plain values need.

`pickletools` splits the bytes into opcodes. A name in the file is looked up in a table of harmless stand-ins and never
imported, so the worst that a hostile pickle can do is to describe a strange value.
"""

from __future__ import annotations

import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ganzoo.checkpoints.unpickling.foreign import remedy
from ganzoo.errors import printable

# Limits that bound time and memory, far above what any checkpoint needs (a StyleGAN's has 20,000 opcodes).
MAX_OPCODES = 1_000_000
MAX_DEPTH = 32

_MAX_KEY_BITS = 60
_VALUE_BYTES = 64  # bytes charged to the budget for any value
_SCALARS = (str, int, float, bool, type(None), bytes)


class UnpicklingError(Exception):
    """The reason why a file can't be read, as the rest of a sentence that begins with the file's name."""


class Budget:
    """Limit on the bytes copied while a file is read, since a pickle can request a large copy again and again."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise UnpicklingError("refused; it expands to far more than its own size")


class Deferred(ABC):
    """A value that can be made only after the whole file is read. Made once, however often the file refers to it."""

    _made: Any = None

    def set_state(self, state: Any) -> None:
        """Set the state that the BUILD opcode provides."""
        raise UnpicklingError("damaged; it sets the state of a value that has none")

    @abstractmethod
    def make(self, budget: Budget) -> Any:
        """Return the value, now that the whole file has been read."""

    def value(self, budget: Budget) -> Any:
        if self._made is None:
            self._made = self.make(budget)
        return self._made


def excerpt(text: str) -> str:
    """Make a text from the file safe to print: short, and without control characters."""
    return printable(text[:80])


def load(file: BinaryIO, names: Mapping[str, Any], persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle from the file's current position, and return the value that it describes.

    `names` maps every name that the pickle may use to its stand-in; `persistent_load` maps a persistent id to its
    value. The result may contain `Deferred` values, which `resolve` replaces. Raises UnpicklingError, or an error of
    `pickletools` or Python (ValueError, IndexError, ...) if the bytes are not a pickle.
    """
    machine = _Machine(names, persistent_load)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count >= MAX_OPCODES:
            raise UnpicklingError("refused; its pickle is far longer than weights need")
        machine.step(opcode.name, argument)
    return machine.pop()


def resolve(value: Any, budget: Budget) -> Any:
    """Copy `value` to a tree of dict, list, tuple, str, int, float, bool, None, bytes and ndarray, without `Deferred`.

    A part that the pickle refers to twice is copied twice, so the result has no cycles and can be traversed. Arrays
    are shared.
    """

    def copy(part: Any, depth_left: int) -> Any:
        budget.spend(_VALUE_BYTES)
        if type(part) in _SCALARS:
            return part
        if isinstance(part, Deferred):
            return part.value(budget)
        if not depth_left:
            raise UnpicklingError("refused; it is nested too deeply, or contains itself")
        if type(part) is dict:
            return {name: copy(item, depth_left - 1) for name, item in part.items()}
        if type(part) in (list, tuple):
            return type(part)(copy(item, depth_left - 1) for item in part)
        raise UnpicklingError("refused; it contains something other than numbers, texts and arrays")

    return copy(value, MAX_DEPTH)


class _Machine:
    """The state of `load`: a stack, marks in it, and the memo. One method per opcode, or per group of them."""

    def __init__(self, names: Mapping[str, Any], persistent_load: Callable[[Any], Any] | None) -> None:
        self.names, self.persistent_load = names, persistent_load
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode not in _OPCODES:
            raise UnpicklingError(
                f"refused; it uses the opcode {opcode}, which weights don't need. Nothing in it was run"
            )
        _OPCODES[opcode](self, argument)

    def put(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_many(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise UnpicklingError("damaged; its pickle pops more values than it has pushed")
        start = len(self.stack) - count
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_mark(self) -> list[Any]:
        return self.pop_many(max(0, len(self.stack) - self.marks.pop()))

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise UnpicklingError(f"damaged; it adds items to something that is not a {kind.__name__}")
        return self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise UnpicklingError("damaged; a dictionary key has no value")
        for name, value in zip(items[::2], items[1::2]):
            # Hashing a deeply nested tuple would crash the process; very large integers could all have the same hash.
            if type(name) not in _SCALARS or (type(name) is int and name.bit_length() > _MAX_KEY_BITS):
                raise UnpicklingError("refused; a dictionary key is neither a simple value nor a small integer")
            target[name] = value

    def new_dict(self) -> None:
        items = self.pop_mark()
        self.put({})
        self.update(items)

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def discard(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def memo_put(self, key: int) -> None:
        if key.bit_length() > _MAX_KEY_BITS:
            raise UnpicklingError("damaged; it has an invalid memo index")
        self.memo[key] = self.stack[-1]

    def memo_get(self, key: int) -> None:
        self.put(self.memo[key])

    def push_global(self, name: str) -> None:
        if name not in self.names:
            self.refuse_global(name)
        self.put(self.names[name])

    def refuse_global(self, name: str) -> None:
        raise UnpicklingError(
            f"refused; it refers to {excerpt(name)}, which does not belong in a weights file. Nothing in it was run"
            f"{remedy(name)}"
        )

    def stack_global(self) -> None:
        module, name = self.pop_many(2)
        if type(module) is not str or type(name) is not str:
            raise UnpicklingError("damaged; it contains a name that is not a string")
        self.push_global(f"{module}.{name}")

    def reduce(self) -> None:
        function, arguments = self.pop_many(2)
        # Only stand-ins from `names` can be callable on this stack; everything else is data.
        if not callable(function) or type(arguments) is not tuple:
            raise UnpicklingError("damaged; it calls something that is not a function")
        self.put(function(*arguments))

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Deferred):
            self.stack[-1].set_state(state)
        else:
            self.top(dict)  # its state is ignored: PyTorch's version numbers, stored as attributes of an OrderedDict

    def persistent(self, key: Any) -> None:
        if self.persistent_load is None:
            raise UnpicklingError("refused; it refers to data outside the file")
        self.put(self.persistent_load(key))

    def protocol(self, version: int) -> None:
        if version > 5:
            raise UnpicklingError(
                f"not readable; it is a pickle of protocol {version}, which this version of ganzoo can't read"
            )


_TEXTS = "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
_LITERALS = f"INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT {_TEXTS} BINBYTES SHORT_BINBYTES BINBYTES8"
_OPCODES: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": _Machine.protocol,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    **dict.fromkeys(_LITERALS.split(), _Machine.put),
    "NONE": lambda machine, _: machine.put(None),
    "NEWTRUE": lambda machine, _: machine.put(True),
    "NEWFALSE": lambda machine, _: machine.put(False),
    "BYTEARRAY8": lambda machine, data: machine.put(bytes(data)),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.discard(),
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    "DUP": lambda machine, _: machine.put(machine.stack[-1]),
    "EMPTY_TUPLE": lambda machine, _: machine.put(()),
    "TUPLE": lambda machine, _: machine.put(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.put(tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: machine.put(tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: machine.put(tuple(machine.pop_many(3))),
    "EMPTY_LIST": lambda machine, _: machine.put([]),
    "LIST": lambda machine, _: machine.put(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.pop_many(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "EMPTY_DICT": lambda machine, _: machine.put({}),
    "DICT": lambda machine, _: machine.new_dict(),
    "SETITEM": lambda machine, _: machine.update(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_mark()),
    "PUT": _Machine.memo_put,
    "BINPUT": _Machine.memo_put,
    "LONG_BINPUT": _Machine.memo_put,
    "MEMOIZE": lambda machine, _: machine.memo_put(len(machine.memo)),
    "GET": _Machine.memo_get,
    "BINGET": _Machine.memo_get,
    "LONG_BINGET": _Machine.memo_get,
    "GLOBAL": lambda machine, pair: machine.push_global(pair.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "INST": lambda machine, pair: machine.refuse_global(pair.replace(" ", ".", 1)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop()),
}
