from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import OptionError
from ganzoo.interfaces.options import Options, changes, option, options_by_name, refuse_without_effect, resolve


@dataclass(frozen=True)
class Sample(Options):
    count: int = option(3, "how many", min=1, max=10)
    rate: float = option(0.5, "how fast", above=0)
    name: str = option("plain", "which", choices=("plain", "fancy"))
    deep_layers: bool = option(False, "whether")
    limit: int | None = option(None, "at most", min=0)


# Jittor's kernels are compiled with fast-math, which makes the processor flush subnormal numbers to zero.
FLOATS = st.floats(allow_subnormal=False)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(1, 10),
        "rate": st.floats(1e-6, 1e6),
        "name": st.sampled_from(["plain", "fancy"]),
        "deep_layers": st.booleans(),
        "limit": st.none() | st.integers(0, 1000),
    },
)


@given(VALUES)
def test_values_survive_json(values):
    resolved = resolve(Sample, values)
    assert resolve(Sample, json.loads(json.dumps(resolved.to_dict()))) == resolved
    assert {name: getattr(resolved, name) for name in values} == values


@given(VALUES, VALUES)
def test_values_win_over_defaults_and_defaults_over_declarations(values, defaults):
    resolved = resolve(Sample, values, defaults)
    for name, declared in Sample().to_dict().items():
        assert getattr(resolved, name) == values.get(name, defaults.get(name, declared))


@pytest.mark.parametrize("value", [1e31, 10**31, 10**400, 1.7e308])
@pytest.mark.parametrize("name", ["limit", "rate"])
def test_numbers_too_large_to_compute_with_are_rejected(name, value):
    with pytest.raises(OptionError, match=f"--{name}"):
        resolve(Sample, {name: value})


def test_very_long_wrong_values_are_shortened_in_messages():
    nested: list = []
    for _ in range(10**5):
        nested = [nested]
    for value, shown in (("x" * 10**6, "'xxx"), (10**6000, "this int"), (nested, "this list"), ([7] * 10**6, "[7, 7")):
        with pytest.raises(OptionError, match="--count") as refused:
            resolve(Sample, {"count": value})
        assert shown in str(refused.value)
        assert len(str(refused.value)) < 1200


@given(st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, st.text(), st.lists(st.integers())))
def test_any_value_is_accepted_in_range_or_rejected_by_name(value):
    for name in options_by_name(Sample):
        try:
            parsed = getattr(resolve(Sample, {name: value}), name)
        except OptionError as error:
            assert "--" + name.replace("_", "-") in str(error)
            assert repr(value) in str(error)
        else:
            assert options_by_name(Sample)[name].parse(parsed) == parsed


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", 0, "a whole number of at least 1 and of at most 10"),
        ("count", 2.5, "a whole number"),
        ("count", True, "a whole number"),
        ("rate", "0", "a number above 0"),
        ("rate", "nan", "a number above 0"),
        ("name", "Plain", "one of plain, fancy"),
        ("deep-layers", "maybe", "true or false"),
    ],
)
def test_the_error_for_a_wrong_value_says_what_was_expected(name, value, expected):
    with pytest.raises(OptionError) as caught:
        resolve(Sample, {name: value})
    assert expected in str(caught.value)
    assert repr(value) in str(caught.value)


def test_text_from_the_command_line_is_converted():
    assert resolve(Sample, {"count": "7", "rate": "1e-3", "deep-layers": "yes", "limit": "5"}) == Sample(
        count=7, rate=1e-3, deep_layers=True, limit=5
    )


def test_an_unknown_name_gives_the_near_match():
    with pytest.raises(OptionError, match=r"unknown option 'coutn'.*'count'"):
        resolve(Sample, {"coutn": 1})


def test_changes_give_old_and_new_values():
    assert changes(Sample(), Sample(count=4, limit=2)) == {"count": (3, 4), "limit": (None, 2)}


def test_a_field_of_another_type_is_rejected_at_declaration():
    @dataclass(frozen=True)
    class Wrong(Options):
        sizes: bytes = option(b"", "sizes")

    with pytest.raises(TypeError, match=r"Wrong\.sizes"):
        options_by_name(Wrong)


@dataclass(frozen=True)
class Dependent(Options):
    mixing: bool = option(False, "whether")
    often: float = option(0.9, "how often", min=0, max=1, when="mixing")
    loss: str = option("r1", "which", choices=("r1", "wgan-gp"))
    gamma: float = option(10.0, "weight", min=0, when={"loss": "r1", "mixing": True})
    decay: float = option(0.5, "decay", min=0, below=1, unless="half_life")
    half_life: float | None = option(None, "half-life", above=0)
    depth: int = option(3, "layers", min=1, max=9)


@pytest.mark.parametrize(
    ("values", "given", "message"),
    [
        ({}, {"often": 0.5}, "--often has no effect without --mixing."),
        ({"loss": "wgan-gp", "mixing": True}, {"gamma": 1.0}, "--gamma has no effect with --loss wgan-gp, only with"),
        ({}, {"gamma": 1.0}, "--gamma has no effect with --mixing false, only with --mixing."),
        ({"half_life": 2.5}, {"decay": 0.1}, "--decay has no effect with --half-life 2.5."),
        ({}, {"often": 0.9}, "--often has no effect without --mixing."),  # its default
        ({"mixing": True}, {"often": 0.5, "gamma": 1.0}, None),
        ({"often": 0.5}, {"depth": 4}, None),  # --often has no effect, but was not given
    ],
)
def test_given_options_without_effect_are_rejected(values, given, message):
    resolved = resolve(Dependent, {**values, **given}).to_dict()
    if message is None:
        refuse_without_effect(options_by_name(Dependent), resolved, given)
    else:
        with pytest.raises(OptionError) as refused:
            refuse_without_effect(options_by_name(Dependent), resolved, given)
        assert message in str(refused.value)


def test_a_bound_below_is_exclusive():
    assert resolve(Dependent, {"decay": 0.999}).decay == 0.999
    with pytest.raises(OptionError, match="--decay: 1 is not a number of at least 0 and below 1"):
        resolve(Dependent, {"decay": 1})


def test_stored_numbers_are_kept_when_a_range_has_become_narrower():
    assert resolve(Dependent, {"decay": 1.0, "half_life": 0.0}, stored=True) == Dependent(decay=1.0, half_life=0.0)
    for wrong in ({"depth": 10**9}, {"loss": "other"}, {"decay": "nan"}, {"decay": "much"}, {"dpeth": 2}):
        with pytest.raises(OptionError):
            resolve(Dependent, wrong, stored=True)


@pytest.mark.parametrize(("value", "right"), [("R1", "r1"), ("WGAN-GP", "wgan-gp"), ("wgangp", "wgan-gp")])
def test_a_choice_in_another_case_gives_the_near_match(value, right):
    with pytest.raises(OptionError, match=f"is not one of r1, wgan-gp. Did you mean '{right}'"):
        resolve(Dependent, {"loss": value})
