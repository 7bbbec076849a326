"""Data parallel training: two processes under mpirun do what one does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.agreement import RUNS, differences, last

MISSING = "needs OpenMPI with its compiler; on Debian: apt install openmpi-bin libopenmpi-dev"
pytestmark = pytest.mark.skipif(not (shutil.which("mpirun") and shutil.which("mpicc")), reason=MISSING)

AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
MPIRUN = ["mpirun", "--oversubscribe", "-np"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ganzoo", "train", *arguments, "--tick", "0.016", "--seed", "3"]


def train(processes: int, *arguments: str) -> subprocess.CompletedProcess:
    """`ganzoo train`, under mpirun where there are several processes."""
    before = [*MPIRUN, str(processes)] if processes > 1 else []
    return subprocess.run(
        [*before, *command(*arguments)], env={**os.environ, **AS_ROOT}, capture_output=True, text=True, timeout=300
    )


def run_program(processes: int, program: str) -> list[str]:
    """What the ranks print, in any order."""
    done = subprocess.run(
        [*MPIRUN, str(processes), sys.executable, "-c", program],
        env={**os.environ, **AS_ROOT},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


MEANS = """
import json
import numpy as np
from ganzoo import distributed
from ganzoo.distributed import collectives
from ganzoo import backend, batch_mean
backend.start("cpu")
from ganzoo import jt
x = jt.array(np.random.default_rng(distributed.rank()).standard_normal(5).astype("float32"))
with distributed.data_parallel():
    slope = jt.grad((batch_mean(x.sqr()) * x).sum(), x)
    curvature = jt.grad(slope.sqr().sum(), x)
    found = [each.numpy().tolist() for each in (batch_mean(x), slope, curvature)]
alone = batch_mean(x).numpy().tolist()
print(json.dumps([distributed.rank(), x.numpy().tolist(), alone, *found]) + "\\n", end="", flush=True)
"""


@pytest.mark.parametrize("processes", [2, 5])
def test_a_mean_over_ranks_has_the_derivatives_of_all_their_losses(processes):
    said = sorted(json.loads(line) for line in run_program(processes, MEANS))
    x, alone, mean, slope, curvature = (np.array([row[place] for row in said]) for place in range(1, 6))
    np.testing.assert_array_equal(alone, x)
    np.testing.assert_allclose(mean, np.broadcast_to(x.mean(0), x.shape), rtol=1e-6)
    # All losses are the mean of x^2 times the sum of x.
    total, share = x.sum(0), 1 / processes
    expected = 2 * share * x * total + (x**2).mean(0)
    np.testing.assert_allclose(slope, expected, rtol=1e-4)
    by_others = 4 * share * ((expected * x).sum(0) + x * expected.sum(0))
    np.testing.assert_allclose(curvature, by_others + 4 * share * expected * total, rtol=1e-4)


TOLD = """
import numpy as np
from ganzoo import distributed
from ganzoo.distributed import collectives
from ganzoo import backend
backend.start("cpu")
mine = {"rank": distributed.rank(), "text": "ä" * distributed.rank()}
array = np.arange(4, dtype=np.float32) + distributed.rank()
collectives.barrier()
same = collectives.broadcast_object(mine) == {'rank': 0, 'text': ''}
print(f"{same} {collectives.broadcast(array).tolist()}\\n", end="", flush=True)
"""


def test_all_hear_what_rank_0_says():
    assert run_program(3, TOLD) == ["True [0.0, 1.0, 2.0, 3.0]"] * 3


STEPS = """
import hashlib
import numpy as np
from ganzoo import distributed
from ganzoo.distributed import collectives
from ganzoo import DataInfo, TrainOptions, backend
from ganzoo.registry import plugins
from ganzoo.data.loader import ImageBatch
from ganzoo.interfaces.options import resolve
backend.start("cpu")
from ganzoo.training.follower import share_state
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
model = plugins.load().model("stylegan")
options = resolve(model.options, {"max_size": 8, "channels_max": 8, "latent": 16, "loss": "r1", "w_average": 0.9})
data = DataInfo("made-up", 100, 8, 3)
# Each begins with weights of its own, and must take those of rank 0.
train = resolve(TrainOptions, {"batch": 6, "seed": distributed.rank()}, model.defaults)
state = TrainState(model, options, data, train)
share_state(state)
step = Step(state, 0, None, lambda *heard: None)
for number in range(3):
    drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 8, 3), np.uint8)
    mine = ImageBatch(drawn, np.zeros(6)).part(2 * distributed.rank(), 2 * distributed.rank() + 2)
    step(mine)
    state.progress = state.progress.after(6)
digest = hashlib.sha256(b"".join(value.tobytes() for _, value in state.arrays())).hexdigest()
print(digest + "\\n", end="", flush=True)
"""


def test_weights_averages_and_moments_are_the_same_bits_on_all_ranks():
    digests = run_program(3, STEPS)
    assert len(digests) == 3
    assert len(set(digests)) == 1


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_end_with_the_weights_of_one(domains, run):
    said = [train(n, *RUNS[run].split(), "--data", "pictures", "--experiments", str(n)) for n in (1, 2)]
    assert [each.returncode for each in said] == [0, 0], said
    one, two = last("1"), last("2")
    assert one.metadata.progress == two.metadata.progress
    assert max(differences(two, one).values()) < 1e-5
    assert len(list(Path("2").iterdir())) == 1  # one run, by rank 0
    assert said[1].stdout.count("finished: ") == 1


def test_statistics_are_those_of_the_whole_batch(domains):
    for n in (1, 2):
        assert train(n, *RUNS["lsgan"].split(), "--data", "pictures", "--experiments", str(n)).returncode == 0
    one, two = last("1").tensors, last("2").tensors
    statistics = [name for name in one if "running" in name]
    assert statistics
    for name in statistics:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6)


def test_a_run_of_two_goes_on_in_one_and_in_two_again(domains):
    whole = ["gan", "--size", "8", "--batch", "8"]
    given = ["--data", "pictures", "--experiments"]
    assert train(1, *whole, "--kimg", "0.048", *given, "1").returncode == 0
    for processes, kimg in ((2, "0.016"), (1, "0.032"), (2, "0.048")):
        resume = ["--resume", "0"] if kimg != "0.016" else whole[1:]
        said = train(processes, "gan", *resume, "--kimg", kimg, *given, "2")
        assert said.returncode == 0, said.stderr
    assert max(differences(last("2"), last("1")).values()) < 1e-5


def test_a_rank_that_dies_ends_the_job_and_leaves_the_checkpoint_whole(domains):
    arguments = [*RUNS["gan"].split(), "--kimg", "1000", "--snapshot", "1", "--data", "pictures"]
    with subprocess.Popen(
        [*MPIRUN, "2", *command(*arguments)],
        env={**os.environ, **AS_ROOT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as job:
        until = time.monotonic() + 120
        while not list(Path().glob("experiments/*/checkpoint-*")) and time.monotonic() < until and job.poll() is None:
            time.sleep(0.1)
        os.kill(child_of_rank(job.pid, 1), signal.SIGKILL)
        assert job.wait(timeout=60) != 0
    saved = last("experiments").metadata.progress.images  # reads every byte
    goal = (saved + 8) / 1000
    said = train(1, "gan", "--resume", "0", "--kimg", str(goal))
    assert said.returncode == 0, said.stderr
    assert last("experiments").metadata.progress.images == saved + 8


def child_of_rank(mpirun: int, rank: int) -> int:
    """The process of a rank."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.search(r"PPid:\s+(\d+)", (path / "status").read_text())[1])
            environment = (path / "environ").read_bytes().split(b"\0")
        except (OSError, TypeError):
            continue
        if parent == mpirun and f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment:
            return int(path.name)
    raise AssertionError("mpirun has no such child")


def test_a_signal_ends_all_with_a_checkpoint(domains):
    arguments = [*RUNS["gan"].split(), "--kimg", "1000", "--data", "pictures"]
    with (
        open("said.txt", "w+") as said,
        subprocess.Popen(
            [*MPIRUN, "2", *command(*arguments)], env={**os.environ, **AS_ROOT}, stdout=said, stderr=said
        ) as job,
    ):
        until = time.monotonic() + 120
        while not list(Path().glob("experiments/*/stats.jsonl")) and time.monotonic() < until and job.poll() is None:
            time.sleep(0.1)
        job.send_signal(signal.SIGUSR1)
        assert job.wait(timeout=60) != 0
    assert Path("said.txt").read_text().count("interrupted: ") == 1
    assert last("experiments").metadata.progress.images > 0


@pytest.mark.parametrize("command", ["generate", "doctor"])
def test_only_training_is_for_several_processes(command, ganzoo, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setattr(os, "_exit", sys.exit)
    said = ganzoo(command)
    assert said.exit_code == 2
    assert said.output.strip() == f"Error: mpirun is for `ganzoo train`; start `ganzoo {command}` without it."


def test_a_batch_that_cant_be_split_is_one_line(domains):
    said = train(2, "gan", "--batch", "7", "--data", "pictures")
    assert said.returncode != 0
    assert said.stderr.count("can't be split") == 1
    assert "--batch: 7 images can't be split evenly among 2 processes" in said.stderr
    assert not Path("experiments").exists()
