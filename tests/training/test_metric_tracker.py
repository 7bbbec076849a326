"""Metrics are computed during training with `--evaluate-every`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import Metric
from ganzoo.checkpoints import checkpoint

RUN = Path("experiments/00000-gan-pictures")
TRAIN = ["train", "gan", "--data", "pictures", "--size", "8", "--batch", "4", "--tick", "0.008"]
TRACK = ["--evaluate-every", "0.012", "--evaluate", "kid,pr", "--evaluate-samples", "12"]
KID = "kid12-efficientnet-lite0"


def rows(run: Path = RUN) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_metrics_are_in_the_statistics_the_table_and_the_curves(jittor, ganzoo, pictures):
    result = ganzoo(*TRAIN, *TRACK, "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert [(row["images"], "metrics" in row) for row in rows()] == [(8, False), (12, True), (16, False), (24, True)]
    measured = rows()[1]["metrics"]
    assert list(measured) == [KID, *(f"{name}12-efficientnet-lite0" for name in ("precision", "recall"))]
    assert f"0.012 kimg: {KID} {measured[KID]:.4g}" in (RUN / "log.txt").read_text()
    table = (RUN / "evaluations.md").read_text()
    assert f"| kid | efficientnet-lite0 | {measured[KID]:.4g} |" in table
    without = ganzoo(*TRAIN, "--kimg", "0.024")
    assert without.exit_code == 0
    other = Path("experiments/00001-gan-pictures")
    curves = [np.asarray(Image.open(run / "losses.png")).shape for run in (RUN, other)]
    assert curves[0] != curves[1], "no panels of the metrics"
    # Measuring does not change the weights.
    last = [checkpoint.read(sorted(run.glob("checkpoint-*"))[-1]).tensors for run in (RUN, other)]
    assert all(np.array_equal(last[0][name], last[1][name]) for name in last[1])


def test_evaluate_gives_the_number_that_training_gave(jittor, ganzoo, pictures):
    assert ganzoo(*TRAIN, *TRACK, "--kimg", "0.024").exit_code == 0
    assert ganzoo("evaluate", "--metrics", "kid,pr", "--samples", "12").exit_code == 0
    tracked, evaluated = (json.loads(line) for line in (RUN / "evaluations.jsonl").read_text().splitlines()[1:])
    assert tracked["images"] == evaluated["images"] == 24
    assert tracked["mean"] == evaluated["mean"]


def test_the_name_of_a_metric_says_how_many_real_images_were_used(jittor, ganzoo, pictures):
    assert ganzoo(*TRAIN, *TRACK, "--evaluate-real", "10", "--kimg", "0.012").exit_code == 0
    measured = rows()[-1]["metrics"]
    assert list(measured)[:2] == [f"{name}12-real10-efficientnet-lite0" for name in ("kid", "kid_std")]
    (record,) = (json.loads(line) for line in (RUN / "evaluations.jsonl").read_text().splitlines())
    assert [(each["samples"], each["real"]) for each in record["results"]] == [(12, 10)]


def test_by_default_as_many_real_images_as_samples_are_used(jittor, ganzoo, pictures, monkeypatch):
    from ganzoo.metrics import sources

    monkeypatch.setattr(sources, "MIN_REAL", 5)  # below the 10 samples, so that it has no effect
    track = [*TRACK[:-1], "10"]
    assert ganzoo(*TRAIN, *track, "--kimg", "0.012").exit_code == 0
    assert "kid10-real10-efficientnet-lite0" in rows()[-1]["metrics"]


class ScriptedMetric(Metric):
    """A metric that returns the given values; higher is better."""

    name = "scripted"
    summary = "numbers given by a test"
    higher_is_better = ("scripted",)

    def __init__(self, *numbers: float) -> None:
        self.values = list(numbers)

    def compute(self, evaluation):
        return {"scripted": self.values.pop(0)}


class ConstantMetric(Metric):
    """A metric that is always 0; lower is better."""

    name = "constant"
    summary = "0"

    def compute(self, evaluation):
        return {"constant": 0.0}


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that registers both metrics, the scripted one with the values that it will return."""
    from ganzoo.registry import plugins

    load = plugins.load

    def register(*numbers: float, higher: bool = True) -> None:
        def loaded(*arguments, **named):
            registry = load(*arguments, **named)
            registry.metrics["scripted"] = ScriptedMetric(*numbers)
            registry.metrics["scripted"].higher_is_better = ("scripted",) if higher else ()
            registry.metrics["constant"] = ConstantMetric()
            return registry

        monkeypatch.setattr(plugins, "load", loaded)

    return register


@pytest.mark.parametrize(("higher", "best"), [(True, 16), (False, 24)])
@pytest.mark.parametrize(
    "metrics", [["scripted"], ["constant,scripted", "--keep-best", "metrics/scripted2k"]], ids=["first", "named"]
)
def test_the_best_checkpoint_is_kept(jittor, ganzoo, pictures, scripted, metrics, higher, best):
    scripted(1.0, 3.0, 0.5, 2.0, higher=higher)
    track = ("--evaluate-every", "0.008", "--keep", "1", "--evaluate", *metrics)
    result = ganzoo(*TRAIN, *track, "--kimg", "0.032")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in RUN.glob("checkpoint-*")) == [
        f"checkpoint-{images:09d}.safetensors" for images in sorted({best, 32})
    ]
    # 2k: the default number of samples
    assert [row["metrics"]["scripted2k"] for row in rows()] == [1.0, 3.0, 0.5, 2.0]


def test_an_impossible_metric_is_reported_before_a_run_is_created(jittor, ganzoo, pictures):
    for metric, reason in (("fidd", "no metric is called 'fidd'"), ("", "no metric given")):
        result = ganzoo(*TRAIN, "--evaluate-every", "0.01", "--evaluate", metric)
        assert result.exit_code == 2
        assert reason in result.stderr
    assert not Path("experiments").exists()


def test_a_metric_that_does_not_apply_is_reported_before_the_first_step(jittor, ganzoo, pictures):
    result = ganzoo(*TRAIN, "--evaluate-every", "0.008", "--evaluate", "lpips", "--kimg", "0.016")
    assert result.exit_code == 2
    assert "lpips: measures the diversity of an image" in result.stderr
    assert not (RUN / "stats.jsonl").exists()


def test_a_dry_run_shows_what_would_be_measured(jittor, ganzoo, pictures):
    result = ganzoo(*TRAIN, *TRACK, "--dry-run")
    assert f"metrics  {KID} every 0.012 kimg" in result.stdout
