"""Click options made from options classes. Omitted options stay None, so that defaults and presets can fill them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from ganzoo.cli import completion
from ganzoo.errors import OptionError, did_you_mean
from ganzoo.interfaces.options import Option, Options, format_value, options_by_name

OTHER = "Other options"


class OptionType(click.ParamType):
    """A click parameter type that validates values the same way as presets."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = "|".join(map(str, option.choices)) if option.choices else option.type.__name__

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return self.option.parse(value)
        except OptionError as error:
            raise click.UsageError(str(error), ctx) from None

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(text) for text in map(str, self.option.choices or ()) if text.startswith(incomplete)]


class Folder(click.Path):
    """A folder, which need not exist. Rejects an empty path (an empty shell variable, say): it would mean '.'."""

    def __init__(self, path_type: type | None = None) -> None:
        super().__init__(file_okay=False, path_type=path_type)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not str(value).strip():
            self.fail("the path is empty; use '.' for the current folder.", param, ctx)
        return super().convert(value, param, ctx)


device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Device to compute on.",
    show_default=True,
)
labels_option = click.option(
    "--labels",
    metavar="NAMES",
    help="What to use as labels, as in `ganzoo train`.  [default: what the data set says]",
)
run_argument = click.argument(
    "run", required=False, metavar="[RUN|CHECKPOINT|zoo:NAME]", shell_complete=completion.checkpoint_names
)
all_networks_option = click.option(
    "--all-networks",
    is_flag=True,
    help="Add the networks that only training needs, such as the discriminator, for others who start with --from.",
)
license_option = click.option(
    "--license", metavar="ID", help="Licence of the weights: an identifier such as mit, apache-2.0 or cc-by-4.0."
)
dataset_option = click.option(
    "--dataset",
    multiple=True,
    metavar="NAME",
    help="Name of the training data on Hugging Face. Can be given several times.  [default: the name of the data]",
)
experiments_option = click.option(
    "--experiments", type=Folder(), default="experiments", help="Folder of all runs.", show_default=True
)


def click_options(cls: type[Options], defaults: dict[str, Any]) -> list[click.Option]:
    """Return a click option per field of an options class. `defaults` overrides the declared defaults in the help."""
    return [
        _click_option(option, defaults.get(option.name, option.default)) for option in options_by_name(cls).values()
    ]


def _click_option(option: Option, default: Any) -> click.Option:
    notes = option.describe_conditions()
    if default is not None and default != "":
        notes.append(f"default: {format_value(default)}")
    suffix = f"  [{'; '.join(notes)}]" if notes else ""
    if option.type is bool:
        declaration = f"{option.flag}/--no-{option.flag[2:]}"
        return GroupedOption([declaration, option.name], default=None, help=option.help + suffix, group=option.group)
    param_type = OptionType(option)
    return GroupedOption(
        [option.flag, option.name],
        type=param_type,
        metavar=param_type.name if option.choices else None,  # click would show choices in capitals
        default=None,
        help=option.help + suffix,
        group=option.group,
        shell_complete=completion.BY_OPTION.get(option.name),
    )


class ModelGroup(click.Group):
    """A group with a subcommand for each model. It refuses options before the name of the model."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            usage, models = f"`{ctx.command_path} MODEL {error.option_name}`", ", ".join(self.list_commands(ctx))
            text = f"{error.option_name}: name the model first: {usage}. Models: {models or 'none'}."
            raise click.UsageError(text, ctx) from None


class GroupedOption(click.Option):
    """An option that the help lists under the heading `group`."""

    def __init__(self, *arguments: Any, group: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has headings, and whose errors suggest replacements for options of other programs.

    `option_hints` maps another program's option, written with underscores and without leading dashes, to the hint: our
    option with an optional remark, or a full sentence.
    """

    def __init__(self, *arguments: Any, option_hints: Mapping[str, str], heading: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.option_hints, self.heading = option_hints, heading

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {self.heading: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                group = param.group or self.heading if isinstance(param, GroupedOption) else OTHER
                sections.setdefault(group, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        original = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            unknown = self._describe_unknown(ctx, original)
            if not unknown:
                raise
            raise click.UsageError("\n       ".join(unknown), ctx) from None

    def _describe_unknown(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Return a line for each unknown option in `args`, saying what to write instead."""
        flags = {flag for param in self.get_params(ctx) for flag in (*param.opts, *param.secondary_opts)}
        given = dict.fromkeys(arg.split("=", 1)[0] for arg in args if arg.startswith("-") and not _is_number(arg))
        unknown = [flag for flag in given if flag.replace("_", "-") not in flags]
        return [f"unknown option {flag}.{self._hint(flag, flags)}" for flag in unknown]

    def _hint(self, flag: str, flags: set[str]) -> str:
        known = self.option_hints.get(flag.lstrip("-").replace("-", "_"))
        if known is None:
            return did_you_mean(flag.replace("_", "-"), flags)
        return f" Use {known}." if known.startswith("--") else f" {known}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def given_values(cls: type[Options], values: dict[str, Any]) -> dict[str, Any]:
    """Return the command's values that belong to `cls` and were given by the user."""
    return {name: values[name] for name in options_by_name(cls) if values.get(name) is not None}
