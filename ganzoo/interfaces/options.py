"""Options, declared once as fields of a frozen dataclass and used four times: on the command line, in TOML presets, in
a run's options.json, and on resume.

    @dataclass(frozen=True)
    class MyOptions(ganzoo.Options):
        latent: int = ganzoo.option(100, "length of the latent vector", min=1)
        loss: str = ganzoo.option("r1", "penalty on the discriminator", choices=("r1", "wgan-gp"))

A field's type is bool, int, float or str, or one of these with `| None`. An invalid value raises OptionError, which
names the option, the value and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ganzoo.errors import OptionError, did_you_mean

ANY_SET = ...  # in a condition: any value that is true, given, or not zero
_MAX_ABS = 1e30  # largest absolute value of a number; a thousand times that is still finite in float32
_MAX_CHARS = 1000  # maximum number of characters of a wrong value in a message
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Options:
    """Base class of options classes. Declare their fields with `option`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the values by field name, as plain JSON types."""
        return dataclasses.asdict(self)


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Option:
    """Description of one field: its name (with underscores), type, default, help and range."""

    name: str
    type: type
    default: Any
    help: str
    optional: bool = False
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] | None = None
    when: Mapping[str, Any] = field(default_factory=dict)
    unless: str = ""
    group: str = ""
    network: bool = False

    @property
    def flag(self) -> str:
        """The name on the command line, e.g. '--micro-batch'."""
        return flag(self.name)

    def describe_conditions(self) -> list[str]:
        """Return the conditions under which this option has an effect, in words: 'with --loss r1'."""
        needed = (
            flag(name) if required is ANY_SET else format_setting(name, required)
            for name, required in self.when.items()
        )
        return [*(f"with {each}" for each in needed), *([f"without {flag(self.unless)}"] if self.unless else [])]

    def reason_without_effect(self, values: Mapping[str, Any]) -> str:
        """Return why this option has no effect with these `values` of the others, e.g. 'without --mixing'; '' if it has
        an effect."""
        for name, required in self.when.items():
            if name in values and not _is_met(values[name], required):
                return _describe_unmet(name, values[name], required)
        if self.unless and values.get(self.unless):
            return f"with {format_setting(self.unless, values[self.unless])}"
        return ""

    def expected(self) -> str:
        """Describe a valid value in words: 'a whole number of at least 1'."""
        if self.choices is not None:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[self.type]
        limits = []
        if self.above is not None:
            limits.append(f"above {self.above:g}")
        if self.min is not None:
            limits.append(f"of at least {self.min:g}")
        if self.max is not None:
            limits.append(f"of at most {self.max:g}")
        if self.below is not None:
            limits.append(f"below {self.below:g}")
        return " ".join([words, " and ".join(limits)]) if limits else words

    def parse(self, value: Any, stored: bool = False) -> Any:
        """Convert text or a plain value to this option's type and check its range. OptionError if it is invalid.

        A value `stored` in a checkpoint was in range when training began. If it is a float, which no network's shape
        depends on, its range is not checked again, so narrowing a range does not make old checkpoints unreadable.
        """
        if value is None:
            if self.optional:
                return None
            raise self._invalid(value)
        try:
            parsed = self._convert(value)
        except (TypeError, ValueError, OverflowError):
            raise self._invalid(value) from None
        if not (stored and self.type is float) and not self._in_range(parsed):
            raise self._invalid(value)
        return parsed

    def _convert(self, value: Any) -> Any:
        if self.type is bool:
            if isinstance(value, bool):
                return value
            word = str(value).strip().lower()
            if word in _TRUE | _FALSE:
                return word in _TRUE
            raise ValueError
        if isinstance(value, bool):
            raise ValueError  # True is an int to Python, but not to the author of a preset
        if self.type is str:
            if not isinstance(value, str):
                raise ValueError
            return value
        if self.type is int:
            if isinstance(value, float) and not value.is_integer():
                raise ValueError
            return int(value)
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number

    def _in_range(self, value: Any) -> bool:
        if self.choices is not None:
            return value in self.choices
        if self.type in (int, float) and abs(value) > _MAX_ABS:
            return False
        return (
            (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _invalid(self, value: Any) -> OptionError:
        hint = did_you_mean(value, self.choices) if self.choices and isinstance(value, str) else ""
        return OptionError(f"{self.flag}: {_shortened(value)} is not {self.expected()}.{hint}")


def flag(name: str) -> str:
    """Return the name of an option on the command line, e.g. '--micro-batch' for 'micro_batch'."""
    return "--" + name.replace("_", "-")


def format_value(value: Any) -> str:
    """Format a value as a user would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return str(value) if isinstance(value, float) and float(short) != value else short


def format_setting(name: str, value: Any) -> str:
    """Format an option with its value, as on the command line."""
    return flag(name) if value is True else f"{flag(name)} {format_value(value)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_met(value: Any, required: Any) -> bool:
    return bool(value) if required is ANY_SET else value == required


def _describe_unmet(name: str, value: Any, required: Any) -> str:
    if required is not ANY_SET:
        return f"with {format_setting(name, value)}, only with {format_setting(name, required)}"
    return f"with {format_setting(name, value)}" if _is_number(value) else f"without {flag(name)}"


def _shortened(value: Any) -> str:
    """Format a wrong value for a message, cut short because files can hold very long ones."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number with thousands of digits, or deeply nested lists
        return f"this {type(value).__name__}"
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


def option(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] | None = None,
    when: str | Mapping[str, Any] = "",
    unless: str = "",
    group: str = "",
    network: bool = False,
) -> Any:
    """Declare a field of an options class: its default, help text and allowed values.

    `min` and `max` are inclusive, `above` and `below` exclusive. `choices` lists all allowed values.

    `when` and `unless` say when the option has an effect: with when="mixing", only if the option `mixing` is set (true,
    given, or not zero); with when={"loss": "r1"}, only if `loss` is 'r1'; with unless="ema_kimg", only if `ema_kimg` is
    not set. `ganzoo train` rejects an option that has no effect if the user gives it. The help lists the option under
    the heading `group`.

    `network` says that the option describes the networks, such as a width: a run that starts with the weights of
    another (`ganzoo train --from`) takes it from there, unless the user gives it.
    """
    conditions = dict.fromkeys([when] if when else [], ANY_SET) if isinstance(when, str) else dict(when)
    limits = {"min": min, "max": max, "above": above, "below": below, "choices": choices}
    metadata = {"help": help, **limits, "when": conditions, "unless": unless, "group": group, "network": network}
    return dataclasses.field(default=default, metadata=metadata)


def options_by_name(cls: type[Options]) -> dict[str, Option]:
    """Return the options of a class by name, in order of declaration."""
    hints = typing.get_type_hints(cls)
    described = {}
    for each in dataclasses.fields(cls):
        hint = hints[each.name]
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        kind = members[0] if members else hint
        if kind not in (bool, int, float, str):
            raise TypeError(f"{cls.__name__}.{each.name}: an option is bool, int, float or str, not {kind!r}")
        optional = type(None) in typing.get_args(hint)
        described[each.name] = Option(each.name, kind, each.default, optional=optional, **each.metadata)
    return described


def resolve(
    cls: type[OptionsT], values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, stored: bool = False
) -> OptionsT:
    """Create an instance of `cls`. Validated `values` override `defaults`, which override the declared defaults.

    Names may be written with '-' or '_'. Raises OptionError for an unknown name (suggesting a near match), or a value
    of the wrong type or out of range. `stored` values come from a checkpoint (see `Option.parse`).
    """
    known = options_by_name(cls)
    chosen: dict[str, Any] = {}
    for source in (defaults or {}, values):
        for written, value in source.items():
            name = written.replace("-", "_")
            if name not in known:
                raise OptionError(f"unknown option {written!r}.{did_you_mean(name, known)}")
            chosen[name] = known[name].parse(value, stored)
    return cls(**chosen)


def refuse_without_effect(options: Mapping[str, Option], values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise OptionError if an option that the user has `given`, even with its default value, has no effect with these
    `values` of all options."""
    for name in given:
        if reason := options[name].reason_without_effect(values):
            raise OptionError(f"{options[name].flag} has no effect {reason}.")


def changes(old: Options, new: Options) -> dict[str, tuple[Any, Any]]:
    """Return the differences between two instances: name -> (old value, new value)."""
    before, after = old.to_dict(), new.to_dict()
    return {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}
