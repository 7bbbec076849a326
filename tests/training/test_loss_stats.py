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


def test_means_are_over_the_updates_made():
    stats = LossStats()
    for number, updated in ((1.0, 1), (math.nan, 0), (4.0, 1), (math.inf, 0), (7.0, 0)):
        stats.add(D, {"real": var(number), "fake": var(-number)}, var(updated))
        stats.log(D, {"norm": var(2 * number)}, var(updated))
    stats.add(G, {"real": var(10.0)}, var(1))
    assert stats.fetch() == Report({"d/fake": -2.5, "d/real": 2.5, "g/real": 10.0}, {"d/norm": 5.0}, 3, 2)


def test_a_fetch_resets_sums_but_not_consecutive_skips():
    stats = LossStats()
    assert stats.empty
    stats.add(D, {"real": var(5.0)}, var(1))
    stats.add(D, {"real": var(5.0)}, var(0))
    assert not stats.empty
    assert stats.fetch() == Report({"d/real": 5.0}, {}, 1, 1)
    assert stats.empty
    stats.add(D, {"real": var(3.0)}, var(0))
    assert stats.fetch() == Report({}, {}, 1, 2)
    stats.add(D, {"real": var(3.0)}, var(1))
    assert stats.fetch() == Report({"d/real": 3.0}, {}, 0, 2)


def test_without_values_the_report_is_empty():
    assert LossStats().fetch() == NOTHING


def test_a_value_need_not_be_reported_every_time():
    stats = LossStats()
    stats.add(D, {"real": var(1.0)}, var(1))
    stats.add(D, {"real": var(2.0), "penalty": var(8.0)}, var(1))
    stats.add(D, {"real": var(6.0), "penalty": var(9.0)}, var(0))
    assert stats.fetch().losses == {"d/penalty": 8.0, "d/real": 1.5}


def test_a_non_finite_logged_value_is_omitted_and_skips_nothing():
    stats = LossStats()
    stats.add(D, {"real": var(1.0)}, var(1))
    stats.log(D, {"norm": var(3.0), "odd": var(math.inf)}, var(1))
    assert stats.fetch() == Report({"d/real": 1.0}, {"d/norm": 3.0}, 0, 0)


@settings(max_examples=25)
@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6), max_size=4))
def test_any_sequence_of_updates_is_counted(ticks):
    stats, longest, streaks = LossStats(), 0, {"d": 0, "g": 0}
    for tick in ticks:
        skipped = 0
        for outcomes in tick:
            for phase, updated in zip((D, G), outcomes):
                stats.add(phase, {"term": var(2.0 if updated else math.nan)}, var(updated))
                streaks[phase.name] = 0 if updated else streaks[phase.name] + 1
                longest = max(longest, streaks[phase.name])
                skipped += not updated
        means = {f"{phase.name}/term": 2.0 for index, phase in enumerate((D, G)) if any(pair[index] for pair in tick)}
        assert stats.fetch() == Report(means, {}, skipped, longest)
