from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY

RUN = Path("experiments/00000-gan-pictures")


@pytest.fixture
def trained(jittor, ganzoo, pictures):
    result = ganzoo("train", "gan", "--data", "pictures", *TINY, "--snapshot", "1")
    assert result.exit_code == 0, result.output
    return pictures.parent / RUN


def one_error(result, status: int) -> str:
    """The one line that a failed command says, after checking that there is no other."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.exit_code == status, result.output
    assert len(lines) == 1
    assert "Traceback" not in result.output
    return lines[0]


def test_a_run_leaves_what_it_promises(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"options.json", "log.txt", "stats.jsonl", "reals.png", "losses.png"} <= names
    assert "samples-000000000.png" in names
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


def test_resume_goes_on_where_it_stopped_and_names_changes(ganzoo, trained):
    result = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.032", "--learning-rate", "0.001")
    assert result.exit_code == 0, result.output
    assert "changed: --kimg was 0.016, is 0.032" in result.output
    assert "changed: --learning-rate was 0.0002, is 0.001" in result.output
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [8, 16, 24, 32]
    assert [row["step"] for row in rows] == [2, 4, 6, 8]


def test_an_interrupted_and_resumed_run_is_the_run_it_would_have_been(ganzoo, trained):
    from ganzoo.training import checkpoint

    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0
    whole = ganzoo("train", "gan", "--data", "pictures", *TINY, "--kimg", "0.032", "--snapshot", "1")
    assert whole.exit_code == 0
    resumed = checkpoint.read(checkpoint.newest(trained))
    straight = checkpoint.read(checkpoint.newest(trained.parent / "00001-gan-pictures"))
    assert resumed.tensors.keys() == straight.tensors.keys()
    for name, value in straight.tensors.items():
        assert np.array_equal(resumed.tensors[name], value), name


def test_dry_run_tells_all_and_leaves_nothing(ganzoo, pictures, monkeypatch):
    result = ganzoo("train", "lsgan", "--data", "pictures", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "generator: 1,050,883 parameters" in result.stdout
    assert "12 images of 10 px, 3 channel(s)" in result.stdout
    assert "memory" in result.stdout
    assert not Path("experiments").exists()


def test_dry_run_runs_no_kernel(ganzoo, pictures):
    from ganzoo import backend

    backend.run_pending()
    jt = backend.jittor()
    with jt.profile_scope() as report:
        assert ganzoo("train", "gan", "--data", "pictures", "--size", "20", "--dry-run").exit_code == 0
    assert len(report) <= 1  # the header


def test_a_preset_gives_options_and_the_command_line_wins(ganzoo, pictures):
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
    ],
)
def test_a_wrong_preset_is_told(ganzoo, pictures, preset, message):
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
        (["train", "gan", "--data", "./nowhere"], 1, "there is no such file or folder"),
        (["train", "gan", "--data", "empty"], 1, "no image in it"),
        (["train", "gan", "--data", "texts"], 1, "no image in it"),
        (["train", "gan", "--data", "cut.zip"], 1, "not a whole zip archive"),
        (["train", "gan", "--data", "fake.lmdb"], 1, "not an LMDB"),
        (["train", "gan", "--resume", "latest"], 1, "there is no run"),
        (["train", "gan", "--resume", "17"], 1, "there is no run '17'"),
        (["train", "gan", "--preset", "nowhere.toml"], 2, "nowhere.toml"),
        (["train", "gan", "--device", "cuda"], 1, "--device cuda"),
    ],
)
def test_bad_input_is_one_clear_line(ganzoo, workdir, arguments, status, message):
    (workdir / "empty").mkdir()
    (workdir / "texts").mkdir()
    (workdir / "texts" / "readme.txt").write_text("no picture")
    (workdir / "cut.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (workdir / "fake.lmdb").write_bytes(b"x" * 5000)
    assert message in one_error(ganzoo(*arguments), status)
    assert not Path("experiments").exists()


def test_one_damaged_picture_is_named_and_training_goes_on(ganzoo, pictures):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(pictures / "05.jpg")
    whole = (pictures / "05.jpg").read_bytes()
    (pictures / "05.jpg").write_bytes(whole[: len(whole) // 2])
    result = ganzoo("train", "gan", "--data", "pictures", *TINY)
    assert result.exit_code == 0, result.output
    assert "05.jpg" in (RUN / "log.txt").read_text()


def test_resume_with_another_model_or_a_cut_checkpoint_is_refused(ganzoo, trained):
    assert "a run of gan" in one_error(ganzoo("train", "lsgan", "--resume", "0"), 2)
    assert "of another network" in one_error(ganzoo("train", "gan", "--resume", "0", "--latent", "7"), 1)
    for path in trained.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:5000])
    assert "not a whole checkpoint" in one_error(ganzoo("train", "gan", "--resume", "0"), 1)
    assert "not a whole checkpoint" in one_error(ganzoo("generate"), 1)


def test_a_run_that_another_process_uses_is_refused(ganzoo, trained):
    with open(trained / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use by another process" in one_error(ganzoo("train", "gan", "--resume", "0"), 1)


def test_a_full_disk_is_told_and_the_former_checkpoint_is_whole(ganzoo, trained, monkeypatch):
    from ganzoo.training import checkpoint

    before = checkpoint.newest(trained)
    content = before.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    message = one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032"), 1)
    assert "No space left on device" in message
    assert before.read_bytes() == content
    assert checkpoint.read(before).metadata["progress"]["images"] == 16


def test_a_loss_that_is_not_finite_ends_the_run_with_a_reason(ganzoo, trained, monkeypatch):
    import ganzoo_gan.loss

    real = ganzoo_gan.loss.binary_cross_entropy
    monkeypatch.setattr(ganzoo_gan.loss, "binary_cross_entropy", lambda *a, **k: real(*a, **k) * float("inf"))
    message = one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032"), 1)
    assert "no longer a finite number" in message
    assert "checkpoint-" in message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_checkpoint_and_resume_continues(ganzoo, pictures, number):
    command = [sys.executable, "-m", "ganzoo", "train", "gan", "--data", "pictures", *TINY, "--kimg", "1000"]
    with open("output.txt", "w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 300
        while not (RUN / "stats.jsonl").exists() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.2)
        child.send_signal(number)
        status = child.wait(timeout=60)
    said = Path("output.txt").read_text()
    assert status == 130, said
    assert "interrupted" in said
    assert "--resume 00000-gan-pictures" in said
    assert "Traceback" not in said
    from ganzoo.training import checkpoint

    stopped = checkpoint.read(checkpoint.newest(RUN)).metadata["progress"]["images"]
    goal = (stopped + 8) / 1000
    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", str(goal)).exit_code == 0
    assert checkpoint.read(checkpoint.newest(RUN)).metadata["progress"]["images"] >= stopped + 8
    assert (RUN / "losses.png").exists()
