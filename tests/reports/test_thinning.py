from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ganzoo.reports.thinning import thin_curve, thin_indices

numbers = st.floats(-1e300, 1e300, allow_subnormal=False)


@given(st.lists(numbers, max_size=400), st.integers(1, 50))
def test_a_thinned_curve_keeps_its_ends_and_extremes_within_the_bound(values, buckets):
    points = list(enumerate(values))
    thinned = thin_curve(points, buckets)
    assert len(thinned) <= 2 * buckets + 2
    assert thinned == sorted(set(thinned))
    assert set(thinned) <= set(points)
    if points:
        assert (thinned[0], thinned[-1]) == (points[0], points[-1])
        assert {min(values), max(values)} <= {value for _, value in thinned}


@given(st.integers(0, 5000), st.integers(2, 60))
def test_thinned_sheets_include_the_first_and_the_newest_and_are_evenly_spaced(count, limit):
    chosen = thin_indices(count, limit)
    assert len(chosen) <= limit
    assert set(chosen) >= ({0, count - 1} if count else set())
    assert len({after - before for before, after in pairwise(chosen[:-1])}) <= 1


def test_a_growing_list_keeps_its_choice_until_it_is_full():
    assert set(thin_indices(41, 33)[:-1]) <= set(thin_indices(60, 33))
