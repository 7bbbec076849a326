"""Options classes as click options. A value that was not given stays None, so defaults and presets can fill it."""

from __future__ import annotations

from typing import Any

import click

from ganzoo.errors import OptionError
from ganzoo.options import Option, Options, describe


class OptionType(click.ParamType):
    """Checks a value exactly as presets are checked."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = "|".join(map(str, option.choices)) if option.choices else option.type.__name__

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return self.option.parse(value)
        except OptionError as error:
            raise click.UsageError(str(error), ctx) from None


def click_options(cls: type[Options], defaults: dict[str, Any]) -> list[click.Option]:
    """A click option for each field of an options class; `defaults` overrides the declared ones in the help."""
    return [_click_option(option, defaults.get(option.name, option.default)) for option in describe(cls).values()]


def _click_option(option: Option, default: Any) -> click.Option:
    shown = "" if default is None or default == "" else f"  [default: {_plain(default)}]"
    if option.type is bool:
        declaration = f"{option.flag}/--no-{option.flag[2:]}"
        return click.Option([declaration, option.name], default=None, help=option.help + shown)
    return click.Option([option.flag, option.name], type=OptionType(option), default=None, help=option.help + shown)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def given(cls: type[Options], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the command's values that belong to `cls` and were really given."""
    return {name: values[name] for name in describe(cls) if values.get(name) is not None}
