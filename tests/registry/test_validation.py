"""A model that the command line can't show or parse is rejected with a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner

from ganzoo import DataSource, Model, Options, option
from ganzoo.cli import main
from ganzoo.errors import PluginError
from ganzoo.registry.validation import RESERVED_TRAIN_OPTIONS, checked_name


@dataclass(frozen=True)
class ValidOptions(Options):
    latent: int = option(8, "length of the latent vector", min=1)
    penalty: float | None = option(None, "weight of the penalty")
    every: int = option(1, "steps between penalties", when="penalty", unless="evaluate_every")


def model(**attributes: Any) -> Model:
    """Make a model with these class attributes, otherwise valid."""
    base = {"name": "mine", "summary": "a model", "options": ValidOptions, "build": lambda self, options, data: None}
    return type("Mine", (Model,), {**base, **attributes})()


def field_of(type_: Any, default: Any, name: str = "rate") -> type[Options]:
    """Make an options class of one field."""
    return dataclass(frozen=True)(type("Own", (Options,), {"__annotations__": {name: type_}, name: default}))


class Undecorated(Options):
    rate: float = option(0.1, "a rate")


class Untyped(Options):
    rate = option(0.1, "a rate")


def test_a_valid_model_is_accepted() -> None:
    assert checked_name("models", model(defaults={"batch": 8, "micro-batch": 4})) == "mine"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": ""}, "its name is ''"),
        ({"name": "my model"}, "its name is 'my model'"),
        ({"name": "--mine"}, "its name is '--mine'"),
        ({"name": "a/b"}, "its name is 'a/b'"),
        ({"name": None}, "its name is None"),
        ({"summary": ""}, "its summary is ''"),
        ({"summary": "two\nlines"}, "one line of text"),
        ({"paper": None}, "its paper is None"),
        ({"options": ValidOptions()}, "is not a subclass of ganzoo.Options"),
        ({"options": dict}, "is not a subclass of ganzoo.Options"),
        ({"options": Undecorated}, "'rate' is not one of its dataclass fields; decorate the class"),
        ({"options": Untyped}, "'rate' is not one of its dataclass fields; decorate the class"),
        ({"options": field_of(float, 0.1)}, "field 'rate' is not declared with ganzoo.option"),
        ({"options": field_of(list, option(None, "many rates"))}, "an option is bool, int, float or str"),
        ({"options": field_of("Unheard", option(1, "a rate"))}, "can't be read (NameError: name 'Unheard'"),
        ({"options": field_of(float, option(-1.0, "a rate", min=0))}, "the default of --rate: -1.0 is not a number"),
        ({"options": field_of(float, option("x", "a rate"))}, "the default of --rate: 'x' is not a number"),
        ({"options": field_of(float, field(metadata={"help": "a rate"}))}, "the default of --rate"),
        (
            {"options": field_of(int, option(1, "images"), "batch")},
            "its option --batch is already an option of `ganzoo train`",
        ),
        (
            {"options": field_of(str, option("", "a run"), "resume")},
            "its option --resume is already an option of `ganzoo train`",
        ),
        (
            {"options": field_of(bool, option(True, "a dry run"), "dry_run")},
            "its option --dry-run is already an option of",
        ),
        (
            {"options": field_of(float, option(1.0, "a rate", when="mixng"))},
            "--rate depends on 'mixng', which is not an option",
        ),
        ({"options": field_of(float, option(1.0, "a rate", unless="kmig"))}, "not an option. Did you mean 'kimg'?"),
        (
            {"options": field_of(float, option(1.0, "a rate", when={"device": "gpu"}))},
            "--rate depends on 'device' being 'gpu', which is not a valid value",
        ),
        ({"defaults": {"bacth": 8}}, "unknown option 'bacth'. Did you mean 'batch'?"),
        ({"defaults": {"batch": 0}}, "--batch: 0 is not a whole number of at least 1"),
        ({"defaults": None}, "its defaults are None"),
        ({"presets": {"fast": {"bacth": 8}}}, "its preset 'fast': unknown option 'bacth'. Did you mean 'batch'"),
        ({"presets": {"fast": {"batch": 0}}}, "its preset 'fast': --batch: 0 is not a whole number of at least 1"),
        ({"presets": {"fast": None}}, "must map names to mappings"),
    ],
)
def test_an_invalid_model_is_rejected(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        checked_name("models", model(**attributes))
    assert message in str(caught.value)


def test_the_negated_flag_of_a_boolean_option_must_be_free() -> None:
    @dataclass(frozen=True)
    class Twice(Options):
        blur: bool = option(True, "blur")
        no_blur: float = option(1.0, "how little to blur")

    with pytest.raises(PluginError, match="its option --no-blur exists twice"):
        checked_name("models", model(options=Twice))


@pytest.mark.parametrize(("kind", "what"), [("datasets", "DataSource"), ("metrics", "Metric"), ("commands", "Command")])
def test_each_hook_accepts_only_its_own_class(kind: str, what: str) -> None:
    with pytest.raises(PluginError, match=f"is not a {what}"):
        checked_name(kind, model())


def test_a_data_source_needs_a_summary() -> None:
    source = type("Mine", (DataSource,), {"name": "mine", "open": lambda self: None})()
    with pytest.raises(PluginError, match="'mine': its summary is None"):
        checked_name("datasets", source)


def test_every_option_of_the_train_command_itself_is_reserved() -> None:
    # For a model without options, the command has only the training options and its own options.
    from ganzoo.cli.train import _command
    from ganzoo.interfaces.options import options_by_name
    from ganzoo.interfaces.train_options import TrainOptions

    command = _command(model(options=Options))
    names = {param.name for param in command.params}
    assert names - {*options_by_name(TrainOptions)} | {"help"} == {*RESERVED_TRAIN_OPTIONS}
    assert "--help" in CliRunner().invoke(main, ["train", "gan", "--help"]).output
