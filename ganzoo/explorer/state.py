"""What a picture of the explorer shows, as it is in the address of the page and of the picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ganzoo.errors import OptionError
from ganzoo.sampling.request import Point, check_psi, parse_point

MAX_SEED = 2**53 - 1  # the largest whole number that a browser handles exactly
IMAGE = re.compile(r"[0-9a-f]{32}|data:[0-9]{1,12}")  # an uploaded image, or one of the data set
NOISES = ("const", "random", "none")
MAX_NAME = 400  # letters in the name of a class, a domain or layers


@dataclass(frozen=True)
class State:
    """What a picture shows. None stands for the model's default.

    Models that generate have a point (`x`, `y`) on the plane of seeds, a class, and the style of another seed, `mix`,
    in some `layers`. Models that translate have a `source`, a `domain`, and the look of a `seed` or a `reference`.
    """

    x: float = 0.0
    y: float = 0.0
    psi: float | None = None
    noise: str | None = None
    class_: str | None = None
    mix: int | None = None
    layers: str = "coarse"
    source: str | None = None
    domain: str | None = None
    direction: str | None = None
    seed: int = 0
    reference: str | None = None

    @property
    def point(self) -> Point:
        return self.x, self.y

    @property
    def whole(self) -> bool:
        """Whether the point is that of a seed."""
        return float(self.x).is_integer() and float(self.y).is_integer()

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> State:
        """Parse the values of an address; others are ignored. OptionError if one is invalid."""
        values = {name: query[name.rstrip("_")] for name in _NAMES if query.get(name.rstrip("_"), "") != ""}
        x, y = parse_point(f"{values.pop('x', '0')},{values.pop('y', '0')}")
        psi = values.pop("psi", None)
        seed, mix = (values.pop(name, None) for name in ("seed", "mix"))
        if values.get("noise", "const") not in NOISES:
            raise OptionError(f"noise: {values['noise'][:40]!r} is not const, random or none.")
        for name in ("source", "reference"):
            if name in values and not IMAGE.fullmatch(values[name]):
                raise OptionError(f"{name}: {values[name][:40]!r} is not the name of an image.")
        for name, value in values.items():
            if len(value) > MAX_NAME:
                raise OptionError(f"{name}: {value[:40]!r}... is longer than {MAX_NAME} letters.")
        return cls(
            x=x,
            y=y,
            psi=None if psi is None else parse_psi(psi),
            seed=0 if seed is None else parse_seed("seed", seed),
            mix=None if mix is None else parse_seed("mix", mix),
            **values,
        )

    def to_query(self) -> dict[str, str]:
        """Return the values that differ from the defaults, as `from_query` parses them."""
        values = {name: getattr(self, name) for name in _NAMES}
        return {
            name.rstrip("_"): repr(value) if isinstance(value, float) else str(value)
            for name, value in values.items()
            if value != getattr(State, name)
        }


_NAMES = [each.name for each in fields(State)]


def parse_psi(text: str) -> float:
    """'0.7' -> 0.7. OptionError unless it is a number from -100 to 100."""
    try:
        return check_psi(float(text))
    except ValueError:
        raise OptionError(f"psi: {text[:40]!r} is not a number.") from None


def parse_seed(name: str, text: str) -> int:
    """'7' -> 7. OptionError unless it is a whole number from 0 to MAX_SEED."""
    if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > MAX_SEED:
        raise OptionError(f"{name}: {text[:40]!r} is not a whole number from 0 to {MAX_SEED}.")
    return int(text)
