"""The comparison with original training programs runs, and its stages follow the schedule; no time is asserted."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import SchedulePosition
from tests.support.processes import MAX_SECONDS, has_ended, state, wait_until
from tests.support.reference import needs_torch

SCRIPT = Path(__file__).parents[2] / "experiments" / "originals" / "run.py"
PRESET = """
data = "images.npy"
max-size = 16
mixing = true
loss = "r1"
phase = 0.032
batch = 8
channels-base = 64
channels-max = 8
latent = 8
mapping-layers = 2
"""


@needs_torch
def test_both_programs_train_and_are_measured(workdir, jittor, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)  # the fixture may have started Jittor in this process
    np.save("images.npy", np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8))
    Path("preset.toml").write_text(PRESET)
    command = [sys.executable, str(SCRIPT), "stylegan", "--preset", "preset.toml", "--folder", "out"]
    times = ["--minutes", "0.1", "--turn", "6", "--every", "0.064", "--points", "2"]
    done = subprocess.run(
        [*command, *times, "--samples", "20", "--real", "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    curves = json.loads(Path("out/fid.json").read_text())
    assert [*curves] == ["ganzoo", "original", "original without EMA"]
    assert all(point["fid"] > 0 and point["minutes"] > 0 for points in curves.values() for point in points)
    assert Path("out/fid.png").stat().st_size > 10_000
    # ganzoo has its own threads wait in another way, which would slow PyTorch down.
    assert "OMP_WAIT_POLICY not set" in Path("out/original/original.log").read_text()

    # The first stage ends after more than 2 * 32 images, the fade-in after 32 more.
    written = sorted(Path("out/original").glob("*[0-9].npz"))
    for path in written:
        with np.load(path) as weights:
            progress = json.loads(str(weights["progress"]))
        later = int(path.stem) - 72
        assert progress["size"] == (8 if later < 0 else 16)
        assert progress["alpha"] == pytest.approx(1.0 if later < 0 else min(1.0, (later + 1) / 32))

    # Those that are measured have the original's weights, and the last resolution is faded in.
    faded_in = [path for path in written if int(path.stem) >= 72 + 32]
    for folder, kind in (("averaged", "ema"), ("not-averaged", "net")):
        converted = checkpoint.list_checkpoints(Path("out", folder))
        assert [checkpoint.images_seen(path) for path in converted] == [int(path.stem) for path in faded_in]
        for saved, path in zip(map(checkpoint.read, converted), faded_in):
            assert saved.metadata.position == SchedulePosition(index=1, size=16, alpha=1.0)
            with np.load(path) as weights:
                for name in (each for each in saved.tensors if each.startswith("ema/generator/")):
                    expected = weights[f"{kind}/{name.removeprefix('ema/')}"]
                    np.testing.assert_array_equal(saved.tensors[name], expected)
    assert all(point["kimg"] >= 0.104 for points in curves.values() for point in points)


@needs_torch
def test_a_program_that_ends_early_is_named(workdir, jittor):
    np.save("images.npy", np.zeros((40, 16, 16, 3), np.uint8))
    Path("preset.toml").write_text(PRESET + "kimg = 0.008\nsnapshot = 1\nfreeze-d = 9\n")
    command = [sys.executable, str(SCRIPT), "stylegan", "--preset", "preset.toml", "--folder", "out"]
    done = subprocess.run([*command, "--minutes", "0.1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: ganzoo ended early; see out/ganzoo/ganzoo.log." in done.stderr
    assert "freeze" in Path("out/ganzoo/ganzoo.log").read_text()


@needs_torch
def test_options_that_the_original_lacks_are_refused(workdir, jittor):
    np.save("images.npy", np.zeros((40, 16, 16, 3), np.uint8))
    Path("preset.toml").write_text(PRESET + "conditional = true\n")
    command = [sys.executable, str(SCRIPT), "stylegan", "--preset", "preset.toml", "--folder", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Error: preset.toml: the original can't be trained with --conditional.\n"
    assert not Path("out").exists()


def test_a_program_is_stopped_with_the_programs_that_it_started(tmp_path):
    run = runpy.run_path(str(SCRIPT))
    script = "import subprocess, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
    program = run["Program"]("ganzoo", [sys.executable, "-c", script], "*", tmp_path, dict(os.environ))
    processes = partial(run["processes_of"], program.process.pid)
    try:
        program.signal(signal.SIGCONT)
        wait_until(lambda: len(processes()) == 2)
        pids = processes()
        program.signal(signal.SIGSTOP)
        wait_until(lambda: all(state(pid) == "T" for pid in pids))
        program.signal(signal.SIGCONT)
        wait_until(lambda: all(state(pid) in ("S", "R") for pid in pids))
    finally:
        program.end()
    assert program.process.returncode == -signal.SIGKILL
    wait_until(lambda: all(map(has_ended, pids)))


@needs_torch
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_comparison_that_is_ended_leaves_no_program_behind(workdir, jittor, number):
    np.save("images.npy", np.zeros((40, 16, 16, 3), np.uint8))
    Path("preset.toml").write_text(PRESET)
    command = [sys.executable, str(SCRIPT), "stylegan", "--preset", "preset.toml", "--folder", "out"]
    with Path("output.txt").open("w") as output:
        comparison = subprocess.Popen([*command, "--turn", "1"], stdout=output, stderr=output)
    try:
        wait_until(lambda: "of 20 minutes" in Path("output.txt").read_text())
        pids = runpy.run_path(str(SCRIPT))["processes_of"](comparison.pid)
        assert len(pids) > 2
        comparison.send_signal(number)
        assert comparison.wait(MAX_SECONDS) != 0
    finally:
        comparison.kill()
    wait_until(lambda: all(map(has_ended, pids)))
    assert "Traceback" not in Path("output.txt").read_text()
