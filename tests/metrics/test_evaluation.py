"""An evaluation estimates how long it will take."""

from __future__ import annotations

import pytest

from ganzoo.metrics.evaluation import Estimate, format_duration


def test_time_is_estimated_once_excluding_the_first_batch():
    now = 0.0
    estimate = Estimate(1000, clock=lambda: now)
    now = 30.0  # the first batch compiles kernels
    assert estimate.after(64) == 0
    found = []
    for count in (128, 192, 256, 320):
        now += 1.5
        found.append(estimate.after(count))
    # In 3 s, 128 images were generated; 808 are left.
    assert found == [0, pytest.approx(808 * 3 / 128), 0, 0]


@pytest.mark.parametrize(
    ("seconds", "words"), [(11, "10 s"), (89, "90 s"), (91, "2 min"), (600, "10 min"), (9000, "2.5 h")]
)
def test_time_in_words(seconds, words):
    assert format_duration(seconds) == words
