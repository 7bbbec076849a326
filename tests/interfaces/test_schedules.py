from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ganzoo
from ganzoo.errors import OptionError
from ganzoo.interfaces.schedules import rate_at

# Jittor's kernels are compiled with fast-math, which makes the processor flush subnormal numbers to zero.
fractions = st.floats(0, 1, allow_subnormal=False)
rates = st.floats(0, 1e3, allow_subnormal=False)
starts = st.floats(0, 0.99, allow_subnormal=False)


def test_linear_decay_is_constant_for_its_first_part_and_then_falls_linearly():
    schedule = ganzoo.LinearDecay(2e-4, start=0.5)
    assert [schedule.at(fraction) for fraction in (0, 0.25, 0.5)] == [2e-4] * 3
    assert [schedule.at(fraction) for fraction in (0.625, 0.75, 1)] == pytest.approx([1.5e-4, 1e-4, 0], abs=1e-12)
    assert ganzoo.LinearDecay(4.0, end_value=2.0).at(0.25) == 3.5


def test_cosine_decay_follows_half_a_cosine():
    schedule = ganzoo.CosineDecay(3.0, start=0.2, end_value=1.0)
    assert [schedule.at(fraction) for fraction in (0, 0.2, 0.6, 1)] == pytest.approx([3, 3, 2, 1])
    assert schedule.at(0.4) == pytest.approx(2 + math.cos(math.pi / 4))


def test_step_decay_multiplies_at_each_milestone():
    schedule = ganzoo.StepDecay(1.0, (0.5, 0.75), factor=0.25)
    assert [schedule.at(fraction) for fraction in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [1, 1, 0.25, 0.25, 0.0625, 0.0625]


@given(st.sampled_from([ganzoo.LinearDecay, ganzoo.CosineDecay]), rates, starts, rates, fractions)
def test_a_decay_stays_between_its_ends(kind, initial, start, end_value, fraction):
    schedule = kind(initial, start, end_value)
    assert schedule.at(0) == pytest.approx(initial)
    assert schedule.at(1) == pytest.approx(end_value, abs=1e-9)
    tolerance = 1e-9 * max(initial, end_value)
    low, high = sorted((initial, end_value))
    assert low - tolerance <= schedule.at(fraction) <= high + tolerance


@given(rates, fractions)
def test_a_number_is_a_constant_learning_rate(rate, fraction):
    assert rate_at(rate, fraction) == rate


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ganzoo.LinearDecay(-1.0), "LinearDecay: initial is -1.0, not a number of at least 0."),
        (lambda: ganzoo.LinearDecay(1.0, start=1.0), "start is 1.0, not a fraction of at least 0 and below 1."),
        (lambda: ganzoo.CosineDecay(1.0, end_value=math.nan), "CosineDecay: end_value is nan, not a number"),
        (lambda: ganzoo.StepDecay(1.0, (0.5,), factor=0), "StepDecay: factor is 0, not a number above 0."),
        (lambda: ganzoo.StepDecay(1.0, (0.5, 0.25)), r"milestones is \(0.5, 0.25\), not increasing fractions"),
        (lambda: ganzoo.StepDecay(1.0, (0.5, 1.0)), r"milestones is \(0.5, 1.0\), not increasing fractions"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()
