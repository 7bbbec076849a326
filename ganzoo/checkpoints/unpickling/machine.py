"""Safe pickle reader: a stack machine for the few opcodes that plain values need.

`pickletools` splits the bytes into opcodes. A name in the file is looked up in a table of harmless stand-ins and never
imported, so the worst that a hostile pickle can do is to describe a strange value.
"""

from __future__ import annotations

import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ganzoo.checkpoints.unpickling.foreign import advice
from ganzoo.errors import printable

# Limits that bound time and memory, far above any checkpoint (a StyleGAN with its optimisers takes 20,000 steps).
STEPS = 1_000_000
LEVELS = 32

_KEY_BITS = 60
_PART = 64  # bytes charged to the budget for any value
_LEAVES = (str, int, float, bool, type(None), bytes)


class Unfit(Exception):
    """The reason why a file can't be read, as the rest of a sentence that begins with the file's name."""


class Budget:
    """Limit on the bytes copied while a file is read, since a pickle can request a large copy again and again."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Unfit("refused; it unfolds to far more than its own size")


class Late(ABC):
    """A value that can be made only after the whole file is read; made once, however often the file refers to it."""

    _made: Any = None

    def build(self, state: Any) -> None:
        """Set the state that the BUILD opcode provides."""
        raise Unfit("damaged; it sets the state of something that has none")

    @abstractmethod
    def make(self, budget: Budget) -> Any:
        """Return the value, now that the whole file has been read."""

    def value(self, budget: Budget) -> Any:
        if self._made is None:
            self._made = self.make(budget)
        return self._made


def shown(text: str) -> str:
    """Make a text from the file safe to print: short, and without control characters."""
    return printable(text[:80])


def run(file: BinaryIO, names: Mapping[str, Any], outside: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle from the file's current position, and return the value that it describes.

    `names` maps every name that the pickle may use to its stand-in; `outside` maps a persistent id to its value. The
    result may contain `Late` values, which `plain` resolves. Raises Unfit, or an error of `pickletools` or Python
    (ValueError, IndexError, ...) if the bytes are not a pickle.
    """
    machine = _Machine(names, outside)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count >= STEPS:
            raise Unfit("refused; it is far longer than any description of weights")
        machine.step(opcode.name, argument)
    return machine.pop()


def plain(value: Any, budget: Budget) -> Any:
    """Copy `value` to a tree of dict, list, tuple, str, int, float, bool, None, bytes and ndarray, resolving `Late`.

    A part that the pickle refers to twice is copied twice, so that any walk over the result ends. Arrays are shared.
    """

    def copy(part: Any, levels: int) -> Any:
        budget.spend(_PART)
        if type(part) in _LEAVES:
            return part
        if isinstance(part, Late):
            return part.value(budget)
        if not levels:
            raise Unfit("refused; it is nested too deeply, or holds itself")
        if type(part) is dict:
            return {name: copy(item, levels - 1) for name, item in part.items()}
        if type(part) in (list, tuple):
            return type(part)(copy(item, levels - 1) for item in part)
        raise Unfit("refused; it holds something other than numbers, texts and arrays")

    return copy(value, LEVELS)


class _Machine:
    def __init__(self, names: Mapping[str, Any], outside: Callable[[Any], Any] | None) -> None:
        self.names, self.outside = names, outside
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode not in _ACTIONS:
            raise Unfit(f"refused; it uses the opcode {opcode}, which no file of weights needs. Nothing in it was run")
        _ACTIONS[opcode](self, argument)

    def put(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def take(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise Unfit("damaged; its pickle takes more than it has put down")
        start = len(self.stack) - count
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def since_mark(self) -> list[Any]:
        return self.take(max(0, len(self.stack) - self.marks.pop()))

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise Unfit(f"damaged; it fills something that is no {kind.__name__}")
        return self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise Unfit("damaged; a key of a dictionary has no value")
        for name, value in zip(items[::2], items[1::2]):
            # Hashing a deeply nested tuple would crash the process; larger integers could all have the same hash.
            if type(name) not in _LEAVES or (type(name) is int and name.bit_length() > _KEY_BITS):
                raise Unfit("refused; a key of a dictionary is neither a name nor a small number")
            target[name] = value

    def new_dict(self) -> None:
        items = self.since_mark()
        self.put({})
        self.update(items)

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def discard(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def remember(self, key: int) -> None:
        if key.bit_length() > _KEY_BITS:
            raise Unfit("damaged; it remembers something under an impossible number")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        self.put(self.memo[key])

    def name(self, name: str) -> None:
        if name not in self.names:
            self.refuse(name)
        self.put(self.names[name])

    def refuse(self, name: str) -> None:
        raise Unfit(
            f"refused; it names {shown(name)}, which has no place in a file of weights. Nothing in it was run"
            f"{advice(name)}"
        )

    def stack_name(self) -> None:
        module, name = self.take(2)
        if type(module) is not str or type(name) is not str:
            raise Unfit("damaged; it names something by what is no text")
        self.name(f"{module}.{name}")

    def reduce(self) -> None:
        function, arguments = self.take(2)
        # Only stand-ins from `names` can be callable on this stack; everything else is data.
        if not callable(function) or type(arguments) is not tuple:
            raise Unfit("damaged; it calls something that is no function")
        self.put(function(*arguments))

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Late):
            self.stack[-1].build(state)
        else:
            self.top(dict)  # an OrderedDict's attributes (PyTorch's module version numbers) are not needed

    def persistent(self, key: Any) -> None:
        if self.outside is None:
            raise Unfit("refused; it refers to data outside the file")
        self.put(self.outside(key))

    def protocol(self, version: int) -> None:
        if version > 5:
            raise Unfit(f"not readable; it is a pickle of protocol {version}, which this ganzoo does not know")


_TEXTS = "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
_LITERALS = f"INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT {_TEXTS} BINBYTES SHORT_BINBYTES BINBYTES8"
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
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
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.put(machine.stack[-1]),
    "EMPTY_TUPLE": lambda machine, _: machine.put(()),
    "TUPLE": lambda machine, _: machine.put(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.put(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.put(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.put(tuple(machine.take(3))),
    "EMPTY_LIST": lambda machine, _: machine.put([]),
    "LIST": lambda machine, _: machine.put(machine.since_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "EMPTY_DICT": lambda machine, _: machine.put({}),
    "DICT": lambda machine, _: machine.new_dict(),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": lambda machine, pair: machine.name(pair.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_name(),
    "INST": lambda machine, pair: machine.refuse(pair.replace(" ", ".", 1)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop()),
}
