"""Each event of training, such as a snapshot, comes after the number of images computed with exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import due

EVENTS = {
    "tick": due.ends_tick,
    "snapshot": due.checkpoint_due,
    "evaluation": due.evaluation_due,
    "report": due.report_due,
}
KIMG = st.integers(1, 6000).map(lambda images: images / 1000)


def train(options: TrainOptions, progress: Progress = Progress()) -> dict[str, list[int]]:  # noqa: B008 (Progress is frozen)
    """Return the images seen at each event, from `progress` to the end."""
    found: dict[str, list[int]] = {name: [] for name in EVENTS}
    while progress.images < due.total_images(options):
        progress = progress.after(options.batch)
        for name, is_due in EVENTS.items():
            if is_due(options, progress, options.batch):
                found[name].append(progress.images)
    return {**found, "end": [progress.images]}


def by_hand(length: Fraction, options: TrainOptions) -> list[int]:
    """Return, for each multiple of `length` kimg, how many images have been seen after the first batch that reaches
    it."""
    last = -(-Fraction(str(options.kimg)) * 1000 // options.batch) * options.batch
    multiples = range(1, int(last / (length * 1000)) + 1)
    return sorted({int(-(-number * length * 1000 // options.batch) * options.batch) for number in multiples})


@given(tick=KIMG, snapshot=st.integers(1, 20), every=KIMG, batch=st.integers(1, 300), kimg=KIMG, data=st.data())
def test_events_occur_at_the_expected_images_with_and_without_resume(tick, snapshot, every, batch, kimg, data):
    options = TrainOptions(tick=tick, snapshot=snapshot, evaluate_every=every, batch=batch, kimg=kimg)
    uninterrupted = train(options)
    exact = Fraction(str(tick))
    assert uninterrupted["tick"] == by_hand(exact, options)
    assert uninterrupted["snapshot"] == by_hand(exact * snapshot, options)
    assert uninterrupted["evaluation"] == by_hand(Fraction(str(every)), options)
    assert uninterrupted["report"] == sorted({*uninterrupted["tick"], *uninterrupted["evaluation"]})
    assert set(uninterrupted["snapshot"]) <= set(uninterrupted["tick"])
    checkpoints = [0, *uninterrupted["snapshot"], *uninterrupted["evaluation"], *uninterrupted["end"]]
    at = data.draw(st.sampled_from(checkpoints))
    resumed = train(options, Progress(step=at // batch, images=at))
    assert resumed == {
        name: [images for images in seen if images > at] or uninterrupted["end"] * (name == "end")
        for name, seen in uninterrupted.items()
    }


@pytest.mark.parametrize("tick", [0.1, 0.2, 0.4, 0.8, 1.1, 2.2, 5.9])
@pytest.mark.parametrize("snapshot", [3, 5, 6, 7])
def test_lengths_that_floats_cannot_represent_are_whole_images(tick, snapshot):
    options = TrainOptions(tick=tick, snapshot=snapshot, batch=8, kimg=10 * tick * snapshot)
    assert len(train(options)["snapshot"]) == 10


def test_a_tick_is_at_least_one_image():
    assert train(TrainOptions(tick=0.0001, batch=4, kimg=0.012))["tick"] == [4, 8, 12]


def test_nothing_is_evaluated_unless_asked_for():
    for off in (None, 0.0):
        assert train(TrainOptions(evaluate_every=off, kimg=1))["evaluation"] == []
