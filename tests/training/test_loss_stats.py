from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ganzoo
from ganzoo.training.loss_stats import LossStats, Report

pytestmark = pytest.mark.usefixtures("jittor")

D, G = ganzoo.Phase("d", ("d",)), ganzoo.Phase("g", ("g",))
NOTHING = Report({}, {}, 0, 0)


def var(number: float):
    return ganzoo.jt.array(np.full(1, number, np.float32))


def test_the_means_are_those_of_the_updates_that_were_made():
    tally = LossStats()
    for number, good in ((1.0, 1), (math.nan, 0), (4.0, 1), (math.inf, 0), (7.0, 0)):
        tally.add(D, {"real": var(number), "fake": var(-number)}, var(good))
        tally.log(D, {"norm": var(2 * number)}, var(good))
    tally.add(G, {"real": var(10.0)}, var(1))
    assert tally.fetch() == Report({"d/fake": -2.5, "d/real": 2.5, "g/real": 10.0}, {"d/norm": 5.0}, 3, 2)


def test_sums_begin_anew_and_rows_go_on():
    tally = LossStats()
    assert tally.empty
    tally.add(D, {"real": var(5.0)}, var(1))
    tally.add(D, {"real": var(5.0)}, var(0))
    assert not tally.empty
    assert tally.fetch() == Report({"d/real": 5.0}, {}, 1, 1)
    assert tally.empty
    tally.add(D, {"real": var(3.0)}, var(0))
    assert tally.fetch() == Report({}, {}, 1, 2)
    tally.add(D, {"real": var(3.0)}, var(1))
    assert tally.fetch() == Report({"d/real": 3.0}, {}, 0, 2)


def test_nothing_reported_is_nothing():
    assert LossStats().fetch() == NOTHING


def test_a_number_may_be_reported_now_and_then():
    tally = LossStats()
    tally.add(D, {"real": var(1.0)}, var(1))
    tally.add(D, {"real": var(2.0), "penalty": var(8.0)}, var(1))
    tally.add(D, {"real": var(6.0), "penalty": var(9.0)}, var(0))
    assert tally.fetch().losses == {"d/penalty": 8.0, "d/real": 1.5}


def test_a_watched_number_that_is_not_finite_is_left_out_and_skips_nothing():
    tally = LossStats()
    tally.add(D, {"real": var(1.0)}, var(1))
    tally.log(D, {"norm": var(3.0), "odd": var(math.inf)}, var(1))
    assert tally.fetch() == Report({"d/real": 1.0}, {"d/norm": 3.0}, 0, 0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6), max_size=4))
def test_any_course_of_updates_is_counted(ticks):
    tally, longest, now = LossStats(), 0, {"d": 0, "g": 0}
    for tick in ticks:
        skipped = 0
        for outcomes in tick:
            for phase, good in zip((D, G), outcomes):
                tally.add(phase, {"term": var(2.0 if good else math.nan)}, var(good))
                now[phase.name] = 0 if good else now[phase.name] + 1
                longest = max(longest, now[phase.name])
                skipped += not good
        kept = {f"{phase.name}/term": 2.0 for index, phase in enumerate((D, G)) if any(pair[index] for pair in tick)}
        assert tally.fetch() == Report(kept, {}, skipped, longest)
