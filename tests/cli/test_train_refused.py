"""Training that is refused before it writes any file, and training that starts with a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganzoo import backend
from ganzoo.checkpoints import checkpoint
from tests.cli.test_train import RUN, diverging, one_error
from tests.cli.test_train_stages import TRAIN_IN_STAGES
from tests.conftest import TINY_RUN_OPTIONS

pytestmark = pytest.mark.usefixtures("jittor")
TRAIN = ["train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kimg", "0.0004"], "--kimg: '0.0004' is not a number of at least 0.001"),
        (["--batch", "1"], "--batch 1: batch normalisation in the generator needs at least two images at once"),
        (["--micro-batch", "1"], "--batch 4 in micro-batches of at most 1: batch normalisation"),
        (
            ["--evaluate-every", "0.1", "--evaluate", "lpips"],
            "--evaluate: lpips: measures the diversity of an image",
        ),
        (["--keep-best", "losses/generator/adversarail"], "Did you mean 'losses/generator/adversarial'?"),
        (["--augment-p", "0.5"], "--augment-p has no effect with --augment none, only with --augment ada"),
        (
            ["--augment", "ada", "--augment-p", "0.5", "--ada-target", "0.5"],
            "--ada-target has no effect with --augment-p 0.5",
        ),
        (["--keep-best", "metrics/fid"], "--keep-best metrics/fid needs --evaluate-every"),
    ],
)
def test_a_refused_training_leaves_no_folder(ganzoo, pictures, options, message):
    assert message in one_error(ganzoo(*TRAIN, *options), 2)
    assert not list(Path().glob("experiments/*"))


def test_a_plugin_whose_weights_never_train_leaves_no_folder(ganzoo, pictures, monkeypatch):
    import ganzoo_gan

    from ganzoo import jt

    build = ganzoo_gan.GAN.build

    def build_with_unused_weight(self, options, data, train):
        setup = build(self, options, data, train)
        setup.networks["generator"].unused = jt.ones(3)
        return setup

    monkeypatch.setattr(ganzoo_gan.GAN, "build", build_with_unused_weight)
    assert "no phase gives a gradient to generator.unused" in one_error(ganzoo(*TRAIN), 1)
    assert not list(Path().glob("experiments/*"))


@pytest.mark.parametrize("options", [["--batch", "1"], ["--kimg", "0.0004"]])
def test_a_dry_run_refuses_the_same_options(ganzoo, pictures, options):
    assert options[0] in one_error(ganzoo(*TRAIN, *options, "--dry-run"), 2)


def test_a_refused_resume_does_not_change_the_options_file_and_keep_best_can_be_unset(ganzoo, pictures):
    assert ganzoo(*TRAIN).exit_code == 0
    before = (RUN / "options.json").read_bytes()
    track = ["--evaluate-every", "0.1", "--evaluate", "lpips"]
    one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024", *track), 2)
    assert (RUN / "options.json").read_bytes() == before
    one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024", "--keep-best", "losses/x"), 2)
    again = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024", "--keep-best", "")
    assert again.exit_code == 0, again.output
    assert checkpoint.images_seen(checkpoint.newest(RUN)) == 24


def test_keep_best_accepts_a_metric_before_its_first_measurement(ganzoo, pictures):
    track = ["--evaluate-every", "0.016", "--evaluate", "kid", "--evaluate-samples", "12"]
    result = ganzoo(*TRAIN, *track, "--keep-best", "metrics/kid12-efficientnet-lite0")
    assert result.exit_code == 0, result.output


def test_stages_beyond_the_goal_are_reported(ganzoo, pictures):
    for extra in ([], ["--dry-run"]):
        result = ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.012", *extra)
        assert result.exit_code == 0, result.output
        assert "warning: --kimg 0.012 ends at 4 px; 8, 16 px won't be trained" in result.stderr
    assert "ends at 8 px; 16 px won't" in ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.02", "--dry-run").stderr
    assert "won't be trained" not in ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.036", "--dry-run").stderr
    resumed = ganzoo("train", "stylegan", "--resume", "0", "--kimg", "0.02")
    assert "warning: --kimg 0.02 ends at 8 px; 16 px won't be trained" in resumed.stdout


def test_the_log_gives_divergence_as_the_reason_of_each_retry(ganzoo, pictures, monkeypatch):
    diverging(monkeypatch, 1000)
    message = one_error(ganzoo(*TRAIN, "--max-skips", "3", "--retry", "2"), 1)
    assert "Start again with a lower learning rate" in message
    log = (RUN / "log.txt").read_text()
    assert log.count("training diverged before the first checkpoint; starting over with --seed") == 2
    assert "killed" not in log
    assert json.loads((RUN / "options.json").read_text())["train"]["seed"] == 2


def test_convolutions_that_jittor_does_not_recognise_are_reported_once(ganzoo, pictures, monkeypatch):
    monkeypatch.setattr(backend, "unrecognised_convolutions", lambda: 2)
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS)
    assert result.output.count("does not recognise 2 of the convolutions") == 1
