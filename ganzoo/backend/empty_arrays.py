"""Reductions of empty arrays, such as a selection of no image, for which Jittor returns an arbitrary number."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ganzoo.errors import ShapeError


def refuse_empty_reductions(jittor: Any) -> None:
    """From now on, raise ShapeError for the mean, maximum or minimum of no numbers. Jittor would return 0, -3.4e38 or
    3.4e38, with a gradient of 0."""
    for name in ("mean", "max", "min"):
        for owner in (jittor, jittor.Var):
            setattr(owner, name, _refusing(name, getattr(owner, name)))


def _refusing(name: str, reduce: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(reduce)
    def refusing(x: Any, *arguments: Any, **named: Any) -> Any:
        result = reduce(x, *arguments, **named)
        if 0 in x.shape and 0 not in result.shape:
            raise ShapeError(f"the {name} of an empty array, of shape {tuple(x.shape)}, is undefined.")
        return result

    return refusing
