from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo import Progress


def test_the_fraction_is_the_part_of_the_images_seen():
    progress = Progress(goal=8)
    fractions = []
    for _ in range(4):
        fractions.append(progress.fraction)
        progress = progress.after(3)
    assert fractions == [0, 0.375, 0.75, 1]


def test_without_a_goal_the_fraction_is_zero():
    assert Progress(step=3, images=12).fraction == 0


def test_a_larger_goal_gives_the_fraction_of_a_run_with_that_goal_from_the_start():
    assert Progress(images=100, goal=100).fraction == 1
    assert Progress(images=100, goal=200).fraction == 0.5


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))
def test_the_goal_is_not_stored(images, stage, goal):
    progress = Progress(1, images, stage, images, goal)
    stored = progress.to_metadata()
    assert "goal" not in stored
    restored = Progress.from_metadata({**stored, "goal": "of another program"})
    assert restored == progress
    assert restored.goal is None


def test_progress_of_other_types_is_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        Progress.from_metadata({"step": -1})
