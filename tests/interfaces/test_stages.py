from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import OptionError
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, Stage, StagePosition, unreached_stages

THREE = Schedule([Stage(8, 4, images=20), Stage(16, 4, images=20, fade=10), Stage(32, 2, fade=10)])


def walk(schedule: Schedule, steps: int) -> list[StagePosition]:
    """Return the positions of the first `steps` steps."""
    progress, positions = Progress(), []
    for _ in range(steps):
        progress = schedule.advance(progress)
        positions.append(schedule.position(progress))
        progress = progress.after(positions[-1].stage.batch)
    return positions


def test_a_stage_ends_after_more_than_its_images_and_the_last_one_never():
    sizes = [position.stage.size for position in walk(THREE, 40)]
    assert sizes == [8] * 6 + [16] * 6 + [32] * 28


def test_the_first_stage_does_not_fade_and_the_others_fade_in_from_nothing():
    """Alpha is (images seen in the stage + 1) / fade, but 0 in the first batch of a stage that fades."""
    positions = walk(THREE, 20)
    assert [position.alpha for position in positions[:6]] == [1] * 6
    assert [position.alpha for position in positions[6:12]] == [0, 0.5, 0.9, 1, 1, 1]
    assert [position.alpha for position in positions[12:18]] == pytest.approx([0, 0.3, 0.5, 0.7, 0.9, 1])
    assert [position.fading for position in positions[12:18]] == [True] * 5 + [False]


def test_networks_change_when_a_stage_begins_and_when_its_fade_ends():
    """Two positions have the same networks if they train the same layers: the second then needs no new kernel."""
    positions = walk(THREE, 20)
    changes = [
        n for n, (before, after) in enumerate(itertools.pairwise(positions), 1) if not after.same_networks(before)
    ]
    assert changes == [6, 9, 12, 17]
    assert not positions[0].same_networks(None)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=5))
def test_training_passes_every_stage_in_order_with_growing_alpha(specs):
    stages = [Stage(2**n, batch, images, min(fade, images)) for n, (batch, images, fade) in enumerate(specs, 2)]
    positions = walk(Schedule(stages), sum(images // batch + 1 for batch, images, _ in specs))
    assert [position.index for position in positions] == sorted(position.index for position in positions)
    for index, stage in enumerate(stages):
        here = [position for position in positions if position.index == index]
        assert (len(here) - 1) * stage.batch <= stage.images < len(here) * stage.batch or index == len(stages) - 1
        alphas = [position.alpha for position in here]
        assert alphas == sorted(alphas)
        assert all(0 <= alpha <= 1 for alpha in alphas)


@given(st.integers(0, 200), st.integers(0, 60))
def test_the_stages_that_training_will_not_reach_are_predicted(goal, done):
    """The prediction is the same from the start of training and from any checkpoint."""
    progress, reached = Progress(), Progress()
    while progress.images < goal:
        progress = THREE.advance(progress)
        if progress.images < done:
            reached = progress
        progress = progress.after(THREE.position(progress).stage.batch)
    assert unreached_stages(THREE.stages, goal) == 2 - progress.stage
    assert unreached_stages(THREE.stages, goal, reached) == 2 - progress.stage


def test_a_progress_beyond_the_last_stage_is_an_option_error():
    with pytest.raises(OptionError, match="already at stage 4, but the options define only 3"):
        THREE.advance(dataclasses.replace(Progress(), stage=3))


def test_a_schedule_needs_stages_of_which_all_but_the_last_have_a_length():
    for stages in ([], [Stage(8, 4), Stage(16, 4)]):
        with pytest.raises(ValueError, match="needs"):
            Schedule(stages)
