from __future__ import annotations

import pytest

from ganzoo.reports import warnings
from tests.support.run_folders import row


def _losses(real: float, fake: float, count: int = 5):
    losses = {"discriminator/real": real, "discriminator/fake": fake}
    return [row(kimg, losses=losses) for kimg in range(1, count + 1)]


def _metrics(name: str, *values: float):
    return [row(kimg, metrics={f"{name}2k-efficientnet-lite0": value}) for kimg, value in enumerate(values, 1)]


@pytest.mark.parametrize("rows", [[], [row(1)], [row(kimg) for kimg in range(100)], _losses(-3.0, 2.0, 50)])
def test_healthy_or_short_runs_have_no_warnings(rows):
    assert warnings.find_warnings(rows) == []


def test_the_discriminator_has_won_if_both_losses_stay_near_zero():
    (said,) = warnings.discriminator_won([row(0.5), *_losses(0.009, 0.001)])
    assert "since 1 kimg" in said
    assert "0.009" in said


@pytest.mark.parametrize(
    "rows",
    [
        _losses(0.009, 0.009, 4),  # too short
        _losses(0.01, 0.001),  # at the bound
        [*_losses(0, 0, 50), row(51)],  # has recovered
        [*_losses(-1.0, 0.5, 1), *_losses(0, 0, 50)],  # a critic
        [row(kimg, losses={"discriminator/fake": 0.0}) for kimg in range(9)],  # half of the evidence
    ],
)
def test_the_discriminator_has_not_won_without_the_evidence(rows):
    assert warnings.discriminator_won(rows) == []


def test_skipped_updates_are_counted():
    (said,) = warnings.skipped_updates([row(1, skipped=2), row(2, skipped=1), row(3)])
    assert said.startswith("3 updates were skipped, last before 2 kimg")
    assert warnings.skipped_updates([row(1, skipped="x"), row(2, skipped=None)]) == []


def test_a_metric_that_stays_above_its_best_value_is_reported():
    (said,) = warnings.metric_rose(_metrics("fid", 30, 10, 12.1, 13))
    assert "10 at 2 kimg" in said


@pytest.mark.parametrize("values", [(10,), (10, 13), (10, 12, 12), (10, 13, 11), (-1, 5, 5)])
def test_a_metric_that_fluctuates_is_not_reported(values):
    assert warnings.metric_rose(_metrics("fid", *values)) == []


def test_metrics_of_other_resolutions_are_not_compared():
    rows = _metrics("fid", 10, 20, 20)
    assert warnings.metric_rose([{**rows[0], "size": 8}, *rows[1:]]) == []


def test_diversity_has_fallen_if_recall_stays_below_half_of_its_best():
    assert warnings.diversity_fell(_metrics("recall", 0.4, 0.19, 0.1))
    assert not warnings.diversity_fell(_metrics("recall", 0.4, 0.2, 0.2))
    assert not warnings.diversity_fell(_metrics("recall", 0.4, 0.1, 0.3))


def test_training_that_broke_off_is_reported_with_the_error():
    assert warnings.ended_early("failed", 3.0, 10.0, "training diverged.") == [
        "Training failed at 3 of 10 kimg: training diverged."
    ]
    assert "--resume" in warnings.ended_early("killed", 3.0, None, None)[0]
    assert "in compiled code at 3 of 10 kimg" in warnings.ended_early("crashed", 3.0, 10.0, None)[0]


@pytest.mark.parametrize("state", ["finished", "interrupted", "running", "stopped", "no training yet"])
def test_training_that_was_stopped_or_goes_on_is_not_reported(state):
    assert warnings.ended_early(state, 3.0, 10.0, None) == []


def test_a_goal_that_was_reached_is_not_reported():
    assert warnings.ended_early("killed", 10.0, 10.0, None) == []


def test_restarts_and_unreadable_images_are_counted():
    assert warnings.restarted(0) == warnings.images_left_out(0, 100) == []
    assert warnings.restarted(2)[0].startswith("Training diverged 2 times")
    assert warnings.images_left_out(1, 0)[0].startswith("1 image was left out")
    assert warnings.images_left_out(1200, 60_000)[0].startswith("1,200 images of 60,000 were left out")
