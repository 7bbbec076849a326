"""Validation of what plugins register, so that one plugin's mistake can't break a listing or help text for all.

`ganzoo.testing` runs the same checks. Every `--help` runs them, so they must be fast.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import GanzooError, OptionError, PluginError, did_you_mean
from ganzoo.interfaces.options import ANY_SET, Option, Options, options_by_name, resolve
from ganzoo.interfaces.zoo import TEXTS

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.zoo import ZooModel

RESERVED_TRAIN_OPTIONS = ("resume", "other_data", "source", "preset", "experiments", "dry_run", "help")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checked_name(kind: str, item: Any) -> str:
    """Return the item's name, after checking that the item is what the hook `ganzoo_<kind>` must return. PluginError if
    not."""
    import click

    from ganzoo.interfaces.dataset import DataSource
    from ganzoo.interfaces.metric import Metric
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.zoo import ZooModel

    kinds = {"models": Model, "datasets": DataSource, "metrics": Metric, "zoo_models": ZooModel}
    expected: type = {**kinds, "commands": click.Command, "data_commands": click.Command}[kind]
    if not isinstance(item, expected):
        hint = " (pass an instance, not the class)" if inspect.isclass(item) else ""
        raise PluginError(f"{_short(item)} is not a {expected.__name__}{hint}")
    name: Any = getattr(item, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(
            f"{_short(item)}: its name is {name!r}, but must consist of letters, digits, '.', '_' and '-', "
            "with a letter or digit first"
        )
    if not isinstance(item, click.Command):
        summary = getattr(item, "summary", None)
        if not isinstance(summary, str) or not summary.strip() or "\n" in summary:
            raise PluginError(f"{name!r}: its summary is {summary!r}, but must be one line of text")
    if isinstance(item, Model):
        check_model(item)
    if isinstance(item, ZooModel):
        check_zoo_model(item)
    return name


def check_model(model: Model) -> None:
    """Raise PluginError if the model's paper, options, defaults or presets are invalid."""
    if not isinstance(model.paper, str):
        raise PluginError(f"model {model.name!r}: its paper is {model.paper!r}, but must be text")
    check_options(model)
    check_defaults(model)
    check_presets(model)


def check_options(model: Model) -> None:
    """Check that the options class is a dataclass of fields made by `ganzoo.option`, whose names are not taken and
    whose defaults are valid."""
    from ganzoo.interfaces.train_options import TrainOptions

    cls: Any = model.options
    where = f"model {model.name!r}: its options class {getattr(cls, '__name__', repr(cls))}"
    if not inspect.isclass(cls) or not issubclass(cls, Options):
        raise PluginError(f"{where} is not a subclass of ganzoo.Options")
    declared = {field.name: field for field in dataclasses.fields(cls)}
    own = vars(cls)
    forgotten = {name for name, value in own.items() if isinstance(value, dataclasses.Field)}
    if "__dataclass_params__" not in own:
        forgotten |= own.get("__annotations__", {}).keys()
    if forgotten:
        raise PluginError(
            f"{where}: {sorted(forgotten)[0]!r} is not one of its dataclass fields; decorate the class with "
            "@dataclass(frozen=True) and give each field a type"
        )
    for name, field in declared.items():
        if "help" not in field.metadata:
            raise PluginError(f"{where}: its field {name!r} is not declared with ganzoo.option(default, help)")
    try:
        options = options_by_name(cls)
        for option in options.values():
            option.parse(option.default)
    except GanzooError as error:
        raise PluginError(f"{where}: the default of {error}".rstrip(".")) from error
    except Exception as error:  # third-party code: annotations may be undefined, or not be types
        raise PluginError(f"{where} can't be read ({type(error).__name__}: {error})") from error
    _check_conditions(where, options, {**options_by_name(TrainOptions), **options})
    taken = {*options_by_name(TrainOptions), *RESERVED_TRAIN_OPTIONS}
    for name, option in options.items():
        if name in taken:
            raise PluginError(f"{where}: its option {option.flag} is already an option of `ganzoo train`; rename it")
        if option.type is bool and f"no_{name}" in {*taken, *options}:
            raise PluginError(f"{where}: its option --no-{option.flag[2:]} exists twice; rename one")


def _check_conditions(where: str, options: Mapping[str, Option], known: Mapping[str, Option]) -> None:
    """Check that the options named by `when` and `unless` exist, and can have the required values."""
    for option in options.values():
        for name, value in [*option.when.items(), *([(option.unless, ANY_SET)] if option.unless else [])]:
            if name not in known:
                raise PluginError(
                    f"{where}: {option.flag} depends on {name!r}, which is not an option.{did_you_mean(name, known)}"
                )
            try:
                valid = value is ANY_SET or known[name].parse(value) == value
            except OptionError:
                valid = False
            if not valid:
                raise PluginError(
                    f"{where}: {option.flag} depends on {name!r} being {value!r}, which is not a valid value"
                )


def check_defaults(model: Model) -> None:
    """Check that `Model.defaults` has valid names and values of `ganzoo.TrainOptions`."""
    from ganzoo.interfaces.train_options import TrainOptions

    if not isinstance(model.defaults, Mapping):
        raise PluginError(f"model {model.name!r}: its defaults are {model.defaults!r}, but must be a mapping")
    try:
        resolve(TrainOptions, {}, model.defaults)
    except GanzooError as error:
        raise PluginError(f"model {model.name!r}: its defaults for training: {error}".rstrip(".")) from error


def check_presets(model: Model) -> None:
    """Check that `Model.presets` have valid names and values of `ganzoo.TrainOptions` or of the model's own options."""
    from ganzoo.interfaces.train_options import TrainOptions

    if not isinstance(model.presets, Mapping) or not all(isinstance(each, Mapping) for each in model.presets.values()):
        raise PluginError(f"model {model.name!r}: its presets are {model.presets!r}, but must map names to mappings")
    common, own = options_by_name(TrainOptions), options_by_name(model.options)
    for name, preset in model.presets.items():
        try:
            for key in preset:
                if key not in {*common, *own}:
                    raise OptionError(f"unknown option {key!r}.{did_you_mean(key, [*common, *own])}")
            resolve(TrainOptions, {key: value for key, value in preset.items() if key in common})
            resolve(model.options, {key: value for key, value in preset.items() if key not in common})
        except GanzooError as error:
            raise PluginError(f"model {model.name!r}: its preset {name!r}: {error}".rstrip(".")) from error


def check_zoo_model(item: ZooModel) -> None:
    """Raise PluginError if an entry of the zoo is incomplete, or its checkpoint is missing."""
    where = f"zoo model {item.name!r}"
    for name in TEXTS:
        text = getattr(item, name)
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            raise PluginError(f"{where}: its {name} is {text!r}, but must be one line of text")
    if not re.fullmatch("[0-9a-f]{64}", item.sha256):
        raise PluginError(f"{where}: its sha256 is {item.sha256!r}, but must be 64 hexadecimal digits in lower case")
    if not isinstance(item.metrics, Mapping) or not all(
        isinstance(key, str) and type(value) in (int, float) for key, value in item.metrics.items()
    ):
        raise PluginError(f"{where}: its metrics are {item.metrics!r}, but must map names to numbers")
    if not isinstance(item.file, Path):
        raise PluginError(f"{where}: its file is {item.file!r}, but must be a Path")
    if not item.file.is_file():
        raise PluginError(f"{where}: its checkpoint {item.file} is missing; is it among the package data?")


def _short(item: Any) -> str:
    text = " ".join(repr(item).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
