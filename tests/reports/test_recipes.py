from __future__ import annotations

from ganzoo.metrics import report
from ganzoo.reports.recipes import metric_recipes
from tests.support.evaluations import record


def test_a_recipe_gives_counts_resolution_and_backbone(tmp_path):
    report.save(tmp_path, record({"fid": 30.0}, samples=2000))
    assert metric_recipes(tmp_path, None) == {
        "fid2k-real500-efficientnet-lite0": "2,000 generated and 500 real images of 28 px, backbone efficientnet-lite0"
    }


def test_translations_are_measured_for_each_pair_of_domains(tmp_path):
    pair = {"numbers": {"lpips": 0.3}, "samples": 100, "real": 0, "mode": "latent", "source": "cat", "target": "dog"}
    numbers = {"lpips": 0.3}
    report.save(tmp_path, record(numbers, mean={"latent": numbers}, results=[pair]))
    (text,) = metric_recipes(tmp_path, None).values()
    assert text == "100 generated images of 28 px for each pair of domains, backbone efficientnet-lite0"


def test_a_run_without_evaluations_has_no_recipes(tmp_path):
    assert metric_recipes(tmp_path, None) == {}
