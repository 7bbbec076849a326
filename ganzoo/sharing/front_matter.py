"""YAML as the block at the top of a model card needs it, without a YAML library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganzoo.errors import printable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*(?:\.[A-Za-z0-9_/-]+)*")
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")  # not strings for a reader of YAML 1.1


def front_matter(entries: Mapping[str, Any]) -> str:
    """Return entries as a block of YAML between lines of dashes. Values are texts, finite numbers, truth values,
    lists and dictionaries of such; entries that are None or empty are left out."""
    return "\n".join(["---", *_mapping(entries, ""), "---", ""])


def _mapping(entries: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in entries.items():
        if value is None or (isinstance(value, (Mapping, list, tuple)) and not value):
            continue
        if isinstance(value, Mapping):
            yield f"{indent}{_text(name)}:"
            yield from _mapping(value, f"{indent}  ")
        elif isinstance(value, (list, tuple)):
            yield f"{indent}{_text(name)}:"
            yield from _sequence(value, indent)
        else:
            yield f"{indent}{_text(name)}: {_scalar(value)}"


def _sequence(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping):
            first, *others = _mapping(item, f"{indent}  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from others
        else:
            yield f"{indent}- {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return _text(str(value))
        digits, exponent, power = repr(value).partition("e")
        return f"{digits}{'' if '.' in digits else '.0'}{exponent}{power}"  # YAML 1.1 requires the point
    return _text(str(value))


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(printable(text), ensure_ascii=False)
