"""Which checkpoint a report marks as the best."""

from __future__ import annotations

import pytest

from ganzoo.registry import plugins
from ganzoo.reports.best import Best, best_checkpoint, is_recipe_of
from tests.support.run_folders import row

FID, RECALL = "fid2k-real10k-efficientnet-lite0", "recall2k-efficientnet-lite0"
ROWS = [row(kimg, metrics={FID: fid, RECALL: fid / 100}) for kimg, fid in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 40.0))]
SAVED = [1000, 2000, 3000]


def test_the_first_metric_decides_by_default():
    found = best_checkpoint({"evaluate_every": 1.0}, ROWS, SAVED, plugins.load())
    assert found == Best(2.0, FID, 10.0)


def test_higher_is_better_for_recall():
    assert best_checkpoint({"keep_best": f"metrics/{RECALL}"}, ROWS, SAVED, plugins.load()) == Best(1.0, RECALL, 0.3)


def test_keep_best_names_a_loss():
    rows = [row(kimg, losses={"generator/adversarial": loss}) for kimg, loss in ((1, 2.0), (2, 0.5))]
    wanted = {"keep_best": "losses/generator/adversarial", "evaluate_every": 1.0}
    assert best_checkpoint(wanted, rows, [1000, 2000], None) == Best(2.0, "generator/adversarial", 0.5)


@pytest.mark.parametrize(
    ("train", "rows", "saved"),
    [
        ({}, ROWS, SAVED),  # nothing asked for the best
        ({"evaluate_every": 1.0}, [row(1)], SAVED),  # nothing measured yet
        ({"evaluate_every": 1.0}, ROWS, [7000]),  # no checkpoint that was measured
        ({"keep_best": "metrics/unknown2k"}, [row(1, metrics={"unknown2k": 1.0})], SAVED),  # which direction?
        ({"keep_best": 3}, ROWS, SAVED),  # damaged
    ],
)
def test_without_evidence_none_is_the_best(train, rows, saved):
    assert best_checkpoint(train, rows, saved, plugins.load()) is None


def test_recipes_are_told_from_metrics_with_similar_names():
    assert is_recipe_of("fid", "fid2k-efficientnet-lite0")
    assert is_recipe_of("ppl-w", "ppl-w500-alexnet")
    assert not is_recipe_of("fid", "fid-x2k")
    assert not is_recipe_of("ppl", "ppl-w500-alexnet")
