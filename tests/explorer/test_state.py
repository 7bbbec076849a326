"""Tests of the state of a picture in an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import OptionError
from ganzoo.explorer.state import MAX_SEED, State

coordinates = st.floats(0, 1e9, allow_subnormal=False)
seeds = st.integers(0, MAX_SEED)
names = st.text(min_size=1, max_size=60)
images = st.one_of(st.from_regex(r"[0-9a-f]{32}", fullmatch=True), st.integers(0, 10**9).map("data:{}".format))
states = st.builds(
    State,
    x=coordinates,
    y=coordinates,
    psi=st.none() | st.floats(-100, 100, allow_subnormal=False),
    noise=st.sampled_from([None, "const", "random", "none"]),
    class_=st.none() | names,
    mix=st.none() | seeds,
    layers=names,
    source=st.none() | images,
    domain=st.none() | names,
    direction=st.none() | names,
    seed=seeds,
    reference=st.none() | images,
)


@given(states)
def test_a_state_survives_the_address(state: State) -> None:
    assert State.from_query(state.to_query()) == state


def test_an_empty_address_is_the_first_seed_with_the_defaults_of_the_model() -> None:
    assert State.from_query({}) == State()
    assert State().to_query() == {}
    assert State.from_query({"tab": "x", "x": ""}) == State()


@given(st.dictionaries(st.sampled_from(["x", "y", "psi", "noise", "mix", "seed", "source", "reference"]), st.text()))
def test_any_address_is_a_state_or_an_error_in_one_line(query: dict[str, str]) -> None:
    try:
        State.from_query(query)
    except OptionError as error:
        assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"x": "-1"}, "--at: '-1,0' is not a point"),
        ({"y": "nan"}, "--at: '0,nan' is not a point"),
        ({"psi": "inf"}, "inf is not a number from -100 to 100"),
        ({"psi": "much"}, "psi: 'much' is not a number"),
        ({"seed": "-1"}, "seed: '-1' is not a whole number"),
        ({"mix": "1e3"}, "mix: '1e3' is not a whole number"),
        ({"noise": "loud"}, "noise: 'loud' is not const, random or none"),
        ({"source": "../../etc/passwd"}, "is not the name of an image"),
        ({"class": "a" * 1000}, "is longer than 400 letters"),
    ],
)
def test_an_invalid_value_is_refused(query: dict[str, str], problem: str) -> None:
    with pytest.raises(OptionError) as caught:
        State.from_query(query)
    assert problem in str(caught.value)
