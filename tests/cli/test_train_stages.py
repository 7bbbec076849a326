"""Progressive training through the command line: stylegan with the smallest networks, from 4 to 16 px."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import SchedulePosition
from ganzoo.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("jittor")

NARROW = ["--channels-base", "512", "--channels-max", "8", "--latent", "8", "--mapping-layers", "2"]
# Stages: 4 px up to 12 images, 8 px up to 32, then 16 px to the end, because a stage ends after the batch of 4 that
# exceeds its 8 images, and 8 px and 16 px fade in over 8 images before.
SHORT = ["--init-size", "4", "--max-size", "16", "--phase", "0.008", "--first-stage", "0.008"]
SCHEDULED = ["train", "stylegan", "--data", "pictures", *NARROW, *SHORT, "--mixing", "--snapshot", "100"]
TRAIN_IN_STAGES = [*SCHEDULED, "--batch", "4"]
RUN = Path("experiments/00000-stylegan-pictures")


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_training_passes_through_every_resolution(ganzoo, pictures):
    result = ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.052", "--tick", "0.004")
    assert result.exit_code == 0, result.output
    seen = [(row["size"], row["alpha"]) for row in rows(RUN)]
    assert [size for size, _ in seen] == [4] * 3 + [8] * 5 + [16] * 5
    assert [alpha for _, alpha in seen[3:8]] == [0, 0.625, 1, 1, 1]
    log = (RUN / "log.txt").read_text()
    assert "stage 1 of 3: 4 px, batches of 4" in log
    assert "0.012 kimg: stage 2 of 3: 8 px, batches of 4, fade-in over 0.008 kimg" in log
    last = checkpoint.read(checkpoint.newest(RUN))
    assert last.metadata.position == SchedulePosition(2, 16, 1.0)
    steps = last.metadata.optimizer_steps["generator"]
    assert steps["synthesis.blocks.0.conv2.weight"] == 13
    assert steps["synthesis.blocks.2.conv2.weight"] == 5
    assert steps["synthesis.to_rgb.0.weight"] == 5  # three steps of the first stage, and two while 8 px faded in


@pytest.mark.parametrize("stopped", ["0.012", "0.016", "0.028"], ids=["between stages", "fading", "stable"])
def test_a_resumed_run_equals_an_uninterrupted_one(ganzoo, pictures, stopped):
    options = ["--reset-optimizers", "--tick", "0.004"]
    assert ganzoo(*TRAIN_IN_STAGES, *options, "--kimg", stopped).exit_code == 0
    assert ganzoo("train", "stylegan", "--resume", "0", "--kimg", "0.036").exit_code == 0
    assert ganzoo(*TRAIN_IN_STAGES, *options, "--kimg", "0.036").exit_code == 0
    resumed = checkpoint.read(checkpoint.newest(RUN))
    uninterrupted = checkpoint.read(checkpoint.newest(RUN.with_name("00001-stylegan-pictures")))
    assert resumed.metadata.optimizer_steps == uninterrupted.metadata.optimizer_steps
    for name, value in uninterrupted.tensors.items():
        assert np.array_equal(resumed.tensors[name], value), name


def test_a_checkpoint_is_saved_at_the_end_of_each_stage_and_fade_in(ganzoo, pictures):
    assert ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.036", "--tick", "1", "--keep", "9").exit_code == 0
    assert [path.name for path in sorted(RUN.glob("*.safetensors"))] == [
        checkpoint.file_name(images) for images in (12, 20, 32, 36)
    ]


def test_a_dry_run_shows_the_stages(ganzoo, pictures):
    result = ganzoo(*SCHEDULED, "--dry-run", "--sched")
    assert result.exit_code == 0, result.output
    stages = [line for line in result.stdout.splitlines() if line.startswith("stage")]
    assert stages == [
        "stage 1     4 px, batches of 512, for 0.008 kimg, learning rate 0.001",
        "stage 2     8 px, batches of 256, for 0.016 kimg, fade-in over 0.008, learning rate 0.001",
        "stage 3    16 px, batches of 128, to the end, fade-in over 0.008, learning rate 0.001",
    ]


def test_a_preset_of_the_model_can_be_used_by_name(ganzoo, pictures):
    result = ganzoo(*SCHEDULED, "--preset", "paper", "--dry-run", "--r1-gamma", "3")
    assert result.exit_code == 0, result.output
    options = dict(line.split() for line in result.stdout.splitlines() if line.strip().startswith("--"))
    assert (options["--architecture"], options["--loss"], options["--r1-gamma"]) == ("paper", "r1", "3.0")
    assert "preset" in ganzoo("train", "stylegan", "--help").output
    wrong = ganzoo("train", "stylegan", "--preset", "papr")
    assert wrong.exit_code == 2
    assert (
        "--preset papr: stylegan has no such preset (its presets are paper), and there is no such file" in wrong.output
    )


def test_a_run_is_not_resumed_with_other_stages(ganzoo, pictures):
    assert ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.02").exit_code == 0
    result = ganzoo("train", "stylegan", "--resume", "0", "--init-size", "8", "--kimg", "0.036")
    assert result.exit_code == 2
    assert "trained at 8 px in stage 2, but the options now ask for the stages 8, 16 px" in result.output


def test_a_finished_run_continues_with_larger_images(ganzoo, pictures):
    """The run completes its former last stage, and then the next resolution fades in."""
    assert ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.04", "--tick", "0.004").exit_code == 0
    before = checkpoint.read(checkpoint.newest(RUN))
    other = RUN.with_name("00001-stylegan-pictures")
    shutil.copytree(RUN, other)
    result = ganzoo("train", "stylegan", "--resume", "0", "--max-size", "32", "--kimg", "0.068")
    assert result.exit_code == 0, result.output
    assert "growing to 32 px: layers above 16 px are initialised randomly" in result.output
    seen = [(row["size"], row["alpha"]) for row in rows(RUN)]
    assert seen[8:] == [(16, 0), (16, 0.625), *[(16, 1)] * 3, (32, 0), (32, 0.625), *[(32, 1)] * 2]
    after = checkpoint.read(checkpoint.newest(RUN))
    assert after.tensors.keys() > before.tensors.keys()
    steps = after.metadata.optimizer_steps["generator"]
    assert (steps["synthesis.blocks.2.conv2.weight"], steps["synthesis.blocks.3.conv2.weight"]) == (9, 4)
    assert (steps["synthesis.to_rgb.2.weight"], steps["synthesis.to_rgb.3.weight"]) == (7, 4)
    for kimg in ("0.044", "0.06", "0.068"):  # before the new stage, during its fade-in, and to the end
        assert ganzoo("train", "stylegan", "--resume", "1", "--max-size", "32", "--kimg", kimg).exit_code == 0
    assert checkpoint.newest(other).read_bytes() == checkpoint.newest(RUN).read_bytes()
    assert ganzoo("generate", "0", "--seeds", "0-1").exit_code == 0
    back = ganzoo("train", "stylegan", "--resume", "0", "--max-size", "16", "--kimg", "0.1")
    assert back.exit_code == 2
    assert "trained at 32 px in stage 4, but the options now ask for the stages 4, 8, 16 px" in back.output


def test_growing_keeps_the_exact_weights(ganzoo, pictures):
    from ganzoo.registry import plugins
    from ganzoo.training.state import TrainState

    assert ganzoo(*TRAIN_IN_STAGES, "--kimg", "0.036").exit_code == 0
    saved = checkpoint.read(checkpoint.newest(RUN))
    model = saved.model(plugins.load())
    options = dataclasses.replace(saved.options(model), max_size=32)
    state = TrainState(model, options, dataclasses.replace(saved.data, size=32), saved.run.train_options())
    fresh = state.tensors()
    state.load(saved.tensors, saved.metadata)
    for name, value in state.tensors().items():
        assert np.array_equal(value, saved.tensors.get(name, fresh[name])), name
    assert not any(
        value.any() for name, value in state.tensors().items() if name.startswith("adam/") and name not in saved.tensors
    )
    incomplete = {name: value for name, value in saved.tensors.items() if "blocks.2" not in name}
    with pytest.raises(CheckpointError, match=r"it lacks 'synthesis\.blocks\.2"):
        state.load(incomplete, saved.metadata)


def test_updates_that_are_not_finite_are_skipped_in_every_stage(ganzoo, pictures):
    arguments = [*TRAIN_IN_STAGES, "--kimg", "0.036", "--tick", "1", "--learning-rate", "1e30"]
    result = ganzoo(*arguments, "--max-skips", "3")
    assert result.exit_code == 1
    assert "training diverged" in result.output
    assert ganzoo(*arguments).exit_code == 0  # nine steps are too few for the default of --max-skips
    last = checkpoint.read(checkpoint.newest(RUN.with_name("00001-stylegan-pictures")))
    assert all(np.isfinite(value).all() for value in last.tensors.values())


def test_a_micro_batch_may_be_as_large_as_the_largest_batch_of_a_stage(ganzoo, pictures):
    accepted = ganzoo(*SCHEDULED, "--sched", "--micro-batch", "64", "--dry-run")
    assert accepted.exit_code == 0, accepted.output
    refused = ganzoo(*SCHEDULED, "--sched", "--micro-batch", "600", "--dry-run")
    assert refused.exit_code == 2
    assert "--micro-batch: 600 is more than --batch 512" in refused.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-size", "24"], "--max-size: 24 is not a power of two."),
        (["--init-size", "12"], "--init-size: 12 is not a power of two."),
        (["--init-size", "64", "--max-size", "32"], "--init-size: 64 px is more than the last resolution, 32 px."),
        (["--loss", "hinge"], "--loss"),
        (["--mixing-prob", "1.5"], "--mixing-prob"),
    ],
)
def test_wrong_options_are_reported_in_one_line(ganzoo, pictures, options, message):
    result = ganzoo("train", "stylegan", "--data", "pictures", *options)
    assert result.exit_code == 2
    (line,) = result.output.strip().splitlines()
    assert message in line
    assert not Path("experiments").exists()
