from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import backend
from ganzoo.checkpoints import checkpoint
from tests.conftest import TINY_RUN_OPTIONS

RUN = Path("experiments/00000-gan-pictures")


@pytest.fixture
def trained(jittor, ganzoo, pictures):
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--snapshot", "1")
    assert result.exit_code == 0, result.output
    return pictures.parent / RUN


def one_error(result, status: int) -> str:
    """Check the exit status of a failed command, and return its only error line."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.exit_code == status, result.output
    assert len(lines) == 1
    assert "Traceback" not in result.output
    return lines[0]


def test_a_run_writes_the_documented_files(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"options.json", "log.txt", "stats.jsonl", "reals.png", "losses.png", "report.html"} <= names
    assert "samples-000000004.png" in names  # after the first step
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert [(row["tick"], row["step"], row["images"]) for row in rows] == [(1, 2, 8), (2, 4, 16)]
    for row in rows:
        assert set(row["losses"]) == {"generator/adversarial", "discriminator/real", "discriminator/fake"}
        assert all(np.isfinite(value) for value in row["losses"].values())
        assert row["images_per_second"] > 0
        assert row["memory_bytes"] > 1e7
    options = json.loads((trained / "options.json").read_text())
    assert (options["model"], options["options"]["size"], options["train"]["batch"]) == ("gan", 8, 4)
    assert len(list(trained.glob("*.safetensors"))) >= 1
    with Image.open(trained / "reals.png") as reals:
        assert len(set(reals.convert("L").tobytes())) > 50


def test_resume_continues_where_it_stopped_and_reports_changes(ganzoo, trained):
    result = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.032", "--learning-rate", "0.001")
    assert result.exit_code == 0, result.output
    assert "changed: --kimg was 0.016, is 0.032" in result.output
    assert "changed: --learning-rate was 0.0002, is 0.001" in result.output
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [8, 16, 24, 32]
    assert [row["step"] for row in rows] == [2, 4, 6, 8]


def test_an_extended_run_equals_an_uninterrupted_one(ganzoo, trained):
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--kimg", "0.032", "--snapshot", "1")
    assert result.exit_code == 0
    uninterrupted = trained.parent / "00001-gan-pictures"
    assert checkpoint.newest(trained).read_bytes() == checkpoint.newest(uninterrupted).read_bytes()


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(ganzoo, trained):
    options = [*TINY_RUN_OPTIONS, "--kimg", "0.8", "--snapshot", "1", "--keep", "3"]
    assert ganzoo("train", "gan", "--data", "pictures", *options).exit_code == 0
    uninterrupted, run = Path("experiments/00001-gan-pictures"), Path("experiments/00002-gan-pictures")
    child = start("train", "gan", "--data", "pictures", *options)
    wait_for(lambda: len(checkpoint.list_checkpoints(run)) == 3, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    resumed_at = checkpoint.newest_intact(run, lambda path, error: pytest.fail(str(error))).metadata.progress.images
    assert 0 < resumed_at < 800
    result = ganzoo("train", "gan", "--resume", "2")
    assert result.exit_code == 0, result.output
    assert "the last session ended unexpectedly" in result.stdout
    assert [path.name for path in checkpoint.list_checkpoints(run)] == [
        path.name for path in checkpoint.list_checkpoints(uninterrupted)
    ]
    assert checkpoint.newest(run).read_bytes() == checkpoint.newest(uninterrupted).read_bytes()
    images = [json.loads(line)["images"] for line in (run / "stats.jsonl").read_text().splitlines()]
    assert images == list(range(8, 801, 8))


def test_a_dry_run_reports_everything_and_writes_nothing(ganzoo, pictures, monkeypatch):
    result = ganzoo("train", "lsgan", "--data", "pictures", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "generator: 1,050,883 parameters" in result.stdout
    assert "12 images of 10 px, 3 channels" in result.stdout
    assert "memory" in result.stdout
    assert "with fewer than 30,000 images, --augment ada" in result.stdout
    assert "--augment ada" not in ganzoo("train", "gan", "--data", "mnist", "--dry-run").stdout
    assert not Path("experiments").exists()


def test_a_dry_run_runs_no_kernel(ganzoo, pictures):

    backend.run_pending()
    jt = backend.jittor()
    with jt.profile_scope() as report:
        assert ganzoo("train", "gan", "--data", "pictures", "--size", "20", "--dry-run").exit_code == 0
    assert len(report) <= 1  # the header


def test_the_command_line_overrides_a_preset(ganzoo, pictures):
    Path("mine.toml").write_text('batch = 4\nsize = 8\nlearning-rate = 0.003\ndata = "pictures"\n')
    result = ganzoo("train", "gan", "--preset", "mine.toml", "--batch", "6", "--dry-run")
    assert result.exit_code == 0, result.output
    options = dict(line.split() for line in result.stdout.splitlines() if line.strip().startswith("--"))
    assert (options["--batch"], options["--size"], options["--learning-rate"]) == ("6", "8", "0.003")


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("bacth = 4", "unknown option 'bacth'. Did you mean 'batch'?"),
        ("batch = 0", "--batch: 0 is not a whole number of at least 1"),
        ("batch = [", "not TOML"),
        ("\xff", "not TOML"),
        (f"batch = {'[' * 9999}", "not TOML"),
        (f"batch = {'9' * 9999}", "not TOML"),
        (f"seed = 0x{'9' * 9999}", "--seed: this int is not a whole number"),
    ],
)
def test_a_wrong_preset_is_reported(ganzoo, pictures, preset, message):
    Path("wrong.toml").write_bytes(preset.encode("latin-1"))
    assert message in one_error(ganzoo("train", "gan", "--preset", "wrong.toml"), 2)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "lsgn"], 2, "Did you mean 'lsgan'?"),
        (["trian", "lsgan"], 2, "Did you mean 'train'?"),
        (["train", "gan", "--bacth", "3"], 2, "--batch"),
        (["train", "gan", "--batch", "0"], 2, "--batch: '0' is not a whole number of at least 1"),
        (["train", "gan", "--batch", "many"], 2, "--batch: 'many'"),
        (["train", "gan", "--seed", "-1"], 2, "--seed: '-1'"),
        (["train", "gan", "--kimg", "nan"], 2, "--kimg: 'nan'"),
        (["train", "gan", "--device", "tpu"], 2, "one of auto, cpu, cuda"),
        (["train", "gan", "--batch", "4", "--micro-batch", "8"], 2, "--micro-batch: 8 is more than --batch 4"),
        (["train", "lsgan", "--size", "30"], 2, "--size: 30 is not a multiple of 16"),
        (["train", "gan", "--data", "mnits"], 1, "Did you mean 'mnist'?"),
        (["train", "gan", "--data", "./nowhere"], 1, "no such file or folder"),
        (["train", "gan", "--data", "empty"], 1, "contains no images"),
        (["train", "gan", "--data", "texts"], 1, "contains no images"),
        (["train", "gan", "--data", "phone"], 1, "and AVIF). 2 other files ignored (.heic)."),
        (
            ["train", "gan", "--data", "texts", "--experiments", ""],
            2,
            "the path is empty; use '.' for the current folder",
        ),
        (
            ["train", "gan", "--data", "texts", "--preset", "paper"],
            2,
            "gan has no such preset (it has no presets)",
        ),
        (["train", "gan", "--data", "cut.zip"], 1, "a damaged or incomplete zip archive"),
        (["train", "gan", "--data", "fake.lmdb"], 1, "not an LMDB"),
        (["train", "gan", "--resume", "latest"], 1, "there is no run"),
        (["train", "gan", "--resume", "17"], 1, "there is no run '17'"),
        (["train", "gan", "--preset", "nowhere.toml"], 2, "nowhere.toml"),
        (["train", "--resume", "latest"], 2, "name the model first: `ganzoo train MODEL --resume`. Models: gan, lsgan"),
        (["import", "--domains", "cat"], 2, "name the model first: `ganzoo import MODEL --domains`. Models: "),
        (["train", "gan", "--device", "cuda"], 1, "start a new process to use cuda"),
    ],
)
def test_bad_input_is_reported_in_one_line(ganzoo, workdir, arguments, status, message):
    (workdir / "empty").mkdir()
    (workdir / "texts").mkdir()
    (workdir / "texts" / "readme.txt").write_text("no picture")
    (workdir / "phone").mkdir()
    for name in ("one.heic", "two.heic"):
        (workdir / "phone" / name).write_bytes(b"....ftypheic")
    (workdir / "cut.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (workdir / "fake.lmdb").write_bytes(b"x" * 5000)
    assert message in one_error(ganzoo(*arguments), status)
    assert not Path("experiments").exists()


def test_a_damaged_image_is_logged_and_training_continues(ganzoo, pictures):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(pictures / "05.jpg")
    content = (pictures / "05.jpg").read_bytes()
    (pictures / "05.jpg").write_bytes(content[: len(content) // 2])
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS)
    assert result.exit_code == 0, result.output
    assert "05.jpg" in (RUN / "log.txt").read_text()


def test_resume_with_another_model_or_other_networks_is_refused(ganzoo, trained):
    before = (trained / "options.json").read_bytes()
    assert "a run of gan" in one_error(ganzoo("train", "lsgan", "--resume", "0"), 2)
    for dry in ((), ("--dry-run",)):
        message = one_error(ganzoo("train", "gan", "--resume", "0", "--latent", "7", *dry), 2)
        assert "--latent 7: the networks of 00000-gan-pictures were built with other values" in message
    assert (trained / "options.json").read_bytes() == before


def test_a_damaged_checkpoint_is_renamed_and_the_previous_one_used(ganzoo, trained):
    older, newer = checkpoint.list_checkpoints(trained)
    newer.write_bytes(newer.read_bytes()[:5000])
    generated = ganzoo("generate", "--seeds", "0-1", "--grid", "1x2")
    assert generated.exit_code == 0, generated.output
    assert f"{newer.name}: not an intact checkpoint" in generated.stderr
    assert older.name in generated.stdout
    assert newer.exists()  # only training, which locks the run, moves files
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert f"Renamed to {newer.name}.damaged" in result.stdout
    assert f"from {older.name}" in result.stdout
    assert newer.with_name(f"{newer.name}.damaged").stat().st_size == 5000
    assert checkpoint.read(checkpoint.newest(trained)).metadata.progress.images == 24


def test_if_every_checkpoint_is_damaged_no_file_is_changed(ganzoo, trained):
    for path in trained.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:5000])
    before = sorted(path.name for path in trained.iterdir() if path.name != "log.txt")
    assert "not an intact checkpoint" in one_error(ganzoo("train", "gan", "--resume", "0"), 1)
    assert "not an intact checkpoint" in one_error(ganzoo("generate"), 1)
    assert sorted(path.name for path in trained.iterdir() if path.name != "log.txt") == before


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_over(ganzoo, trained):
    content = checkpoint.newest(trained).read_bytes()
    for path in trained.glob("*.safetensors"):
        path.unlink()
    (trained / ".unfinished-123-checkpoint-000000008.safetensors").write_bytes(b"half")
    result = ganzoo("train", "gan", "--resume", "latest")
    assert result.exit_code == 0, result.output
    assert "has no checkpoint yet; starting over" in result.stdout
    assert checkpoint.newest(trained).read_bytes() == content
    assert [json.loads(line)["images"] for line in (trained / "stats.jsonl").read_text().splitlines()] == [8, 16]
    assert not list(trained.glob(".*"))


def test_generate_uses_the_newest_run_that_has_a_checkpoint(ganzoo, trained):
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    for path in Path("experiments/00001-gan-pictures").glob("*.safetensors"):
        path.unlink()
    result = ganzoo("generate", "--seeds", "0-1", "--grid", "1x2")
    assert result.exit_code == 0, result.output
    assert "00001-gan-pictures has no checkpoint yet" in result.stderr
    assert str(RUN) in result.stdout


def test_changes_in_the_environment_of_a_run_are_reported(ganzoo, trained, monkeypatch):
    options = json.loads((trained / "options.json").read_text())
    options["environment"]["threads"] += 1
    (trained / "options.json").write_text(json.dumps(options))
    (trained.parent.parent / "pictures" / "03.png").unlink()
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert "changed: threads was " in result.stdout
    assert "changed: pictures had 12 images, has 11" in result.stdout


def test_the_best_checkpoint_is_kept_beside_the_newest(ganzoo, trained):
    name = "losses/generator/adversarial"
    arguments = ["--kimg", "0.08", "--keep", "1", "--keep-best", name]
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--snapshot", "1", *arguments).exit_code == 0
    run = Path("experiments/00001-gan-pictures")
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["losses"]["generator/adversarial"])["images"]
    assert checkpoint.list_checkpoints(run) == sorted(
        {run / checkpoint.file_name(best), run / checkpoint.file_name(80)}
    )
    wrong = ganzoo("train", "gan", "--resume", "1", "--kimg", "0.1", "--keep-best", "losses/generator/adversarail")
    assert f"Did you mean {name!r}?" in one_error(wrong, 2)


def test_a_run_that_another_process_uses_is_refused(ganzoo, trained):
    with open(trained / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use by another process" in one_error(ganzoo("train", "gan", "--resume", "0"), 1)


def test_a_full_disk_is_reported_and_the_previous_checkpoint_is_intact(ganzoo, trained, monkeypatch):
    before = checkpoint.newest(trained)
    content = before.read_bytes()
    replace = os.replace

    def full(source, target):
        if str(target).endswith(checkpoint.SUFFIX):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    message = one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032"), 1)
    assert "No space left on device: free some space" in message
    assert before.read_bytes() == content
    assert checkpoint.read(before).metadata.progress.images == 16


def diverging(monkeypatch, calls: int) -> None:
    """Make the basic GAN's binary cross-entropy infinite in its first `calls` calls: three in each step."""
    import ganzoo_gan.loss

    unpatched, left = ganzoo_gan.loss.binary_cross_entropy, [calls]

    def infinite(scores, real):
        left[0] -= 1
        return unpatched(scores, real) * (float("inf") if left[0] >= 0 else 1.0)

    monkeypatch.setattr(ganzoo_gan.loss, "binary_cross_entropy", infinite)


def test_diverging_training_skips_updates_and_then_stops_with_an_error(ganzoo, trained, monkeypatch):
    diverging(monkeypatch, 1000)
    message = one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.064", "--max-skips", "3"), 1)
    assert "training diverged: 4 updates in a row" in message
    assert checkpoint.newest(trained).name in message
    row = json.loads((trained / "stats.jsonl").read_text().splitlines()[-1])
    assert (row["images"], row["losses"]) == (32, {})
    assert row["skipped"] == 4  # in this tick, two of each phase
    newest = checkpoint.read(checkpoint.newest(trained))
    assert all(np.isfinite(value).all() for value in newest.tensors.values())


def test_diverged_training_can_restart_with_another_seed(ganzoo, trained, monkeypatch):
    diverging(monkeypatch, 3 * 5)  # five steps, and then never again
    arguments = ["--kimg", "0.064", "--max-skips", "3", "--retry", "1"]
    result = ganzoo("train", "gan", "--resume", "0", *arguments)
    assert result.exit_code == 0, result.output
    assert "restarting from there with --seed 1" in result.stdout
    assert json.loads((trained / "options.json").read_text())["train"]["seed"] == 1
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == sorted({row["images"] for row in rows})
    assert rows[-1]["images"] == 64


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_a_checkpoint_and_resume_continues(ganzoo, pictures, number):
    child = start("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--kimg", "1000")
    wait_for((RUN / "stats.jsonl").exists, child)
    child.send_signal(number)
    assert child.wait(timeout=60) == 128 + number
    output = Path("output.txt").read_text()
    assert "interrupted" in output
    assert "--resume 00000-gan-pictures" in output
    assert "Traceback" not in output
    stopped = checkpoint.read(checkpoint.newest(RUN)).metadata.progress.images
    goal = (stopped + 8) / 1000
    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", str(goal)).exit_code == 0
    assert checkpoint.read(checkpoint.newest(RUN)).metadata.progress.images >= stopped + 8
    assert (RUN / "losses.png").exists()


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a `ganzoo` command in another process, with its output going to output.txt."""
    with open("output.txt", "w") as output:
        return subprocess.Popen([sys.executable, "-m", "ganzoo", *arguments], stdout=output, stderr=output)


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
    assert condition(), Path("output.txt").read_text()
