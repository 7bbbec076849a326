"""Data parallel training: several processes under mpirun give the same results as one."""

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

from tests.support.agreement import RUNS, last_checkpoint, weight_differences

MISSING = "needs OpenMPI with its compiler; on Debian: apt install openmpi-bin libopenmpi-dev"
pytestmark = pytest.mark.skipif(not (shutil.which("mpirun") and shutil.which("mpicc")), reason=MISSING)

AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
MPIRUN = ["mpirun", "--oversubscribe", "-np"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ganzoo", "train", *arguments, "--tick", "0.016", "--seed", "3"]


@pytest.fixture
def train(ganzoo):
    """Return a function that runs `ganzoo train` in as many processes under mpirun, or in this one if it is only one.
    The training must succeed; its output is returned."""

    def run(processes: int, *arguments: str) -> str:
        words = command(*arguments)
        if processes == 1:
            result = ganzoo(*words[words.index("train") :])
            assert result.exit_code == 0, result.output
            return result.output
        launched = [*MPIRUN, str(processes), *words]
        done = subprocess.run(launched, env={**os.environ, **AS_ROOT}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def run_program(processes: int, program: str, *arguments: str) -> list[str]:
    """Run a Python program under mpirun if `processes` is greater than 1, and return the lines that the ranks print, in
    any order."""
    launcher = [*MPIRUN, str(processes)] if processes > 1 else []
    done = subprocess.run(
        [*launcher, sys.executable, "-c", program, *arguments],
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
    gradient = jt.grad((batch_mean(x.sqr()) * x).sum(), x)
    second_gradient = jt.grad(gradient.sqr().sum(), x)
    results = [each.numpy().tolist() for each in (batch_mean(x), gradient, second_gradient)]
outside = batch_mean(x).numpy().tolist()
print(json.dumps([distributed.rank(), x.numpy().tolist(), outside, *results]) + "\\n", end="", flush=True)
"""


@pytest.mark.parametrize("processes", [2, 5])
def test_batch_mean_has_the_gradients_of_the_losses_summed_over_ranks(processes):
    rows = sorted(json.loads(line) for line in run_program(processes, MEANS))
    x, outside, mean, gradient, second_gradient = (np.array(column) for column in list(zip(*rows))[1:])
    np.testing.assert_array_equal(outside, x)
    np.testing.assert_allclose(mean, np.broadcast_to(x.mean(0), x.shape), rtol=1e-6)
    # The sum of all losses is mean(x^2) * sum(x), both over the ranks.
    total, weight = x.sum(0), 1 / processes
    expected = 2 * weight * x * total + (x**2).mean(0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)
    through_means = 4 * weight * ((expected * x).sum(0) + x * expected.sum(0))
    np.testing.assert_allclose(second_gradient, through_means + 4 * weight * expected * total, rtol=1e-4)


BROADCASTS = """
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


def test_rank_0_broadcasts_objects_and_arrays_to_all():
    assert run_program(3, BROADCASTS) == ["True [0.0, 1.0, 2.0, 3.0]"] * 3


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
# Ranks begin with different weights, and must get those of rank 0.
train = resolve(TrainOptions, {"batch": 6, "seed": distributed.rank()}, model.defaults)
state = TrainState(model, options, data, train)
share_state(state)
step = Step(state, 0, None, lambda *arguments: None)
for number in range(3):
    images = np.random.default_rng(number).integers(0, 256, (6, 8, 8, 3), np.uint8)
    shard = ImageBatch(images, np.zeros(6)).slice(2 * distributed.rank(), 2 * distributed.rank() + 2)
    step(shard)
    state.progress = state.progress.after(6)
digest = hashlib.sha256(b"".join(value.tobytes() for _, value in state.arrays())).hexdigest()
print(digest + "\\n", end="", flush=True)
"""


def test_weights_ema_and_adam_moments_are_bit_identical_on_all_ranks():
    digests = run_program(3, STEPS)
    assert len(digests) == 3
    assert len(set(digests)) == 1


REPLAY = """
import sys
import numpy as np
from ganzoo import backend
backend.start("cpu")
from ganzoo import Batch, ReplayBuffer, distributed, jt
ranks, rank, parts, size, capacity = distributed.world_size(), distributed.rank(), int(sys.argv[1]), 6, 5
pool = ReplayBuffer(capacity, (1, 1, 1))
share = size // ranks
with distributed.data_parallel():
    for step in range(8):
        for part in range(parts):
            count = share // parts
            rng, offset = np.random.default_rng(step), rank * share + part * count
            images = jt.array(np.arange(step * size + offset, step * size + offset + count, dtype=np.float32))
            images = images.reshape((-1, 1, 1, 1))
            batch = Batch(images, np.zeros(count), rng, offset=offset, global_size=size)
            returned = pool.query(images, batch).numpy().ravel().astype(int).tolist()
            print("".join(f"{step} {offset + n} {each}\\n" for n, each in enumerate(returned)), end="", flush=True)
print(f"{pool.images.numpy().ravel().astype(int).tolist()} {pool.seen.numpy().tolist()}\\n", end="", flush=True)
"""


@pytest.mark.parametrize(("processes", "parts"), [(2, 1), (3, 1), (2, 3)])
def test_a_replay_buffer_is_the_same_on_all_ranks_as_in_one_process(processes, parts):
    *alone, pool = run_program(1, REPLAY, "1")
    lines = run_program(processes, REPLAY, str(parts))
    assert sorted(lines) == sorted([*alone, *[pool] * processes])


BLOCKS = """
import sys
import numpy as np
from ganzoo import backend, distributed
backend.start("cpu")
from ganzoo.training.follower import share_state
from tests.support.building_blocks import Training
training = Training(seed=distributed.rank())
share_state(training.state)
for _ in range(4):
    training.run()
np.savez(f"{sys.argv[1]}-{distributed.rank()}.npz", **training.state.tensors())
"""


def test_building_blocks_train_on_two_ranks_as_in_one_process(tmp_path):
    for processes in (1, 2):
        run_program(processes, BLOCKS, str(tmp_path / str(processes)))
    alone, first, second = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("1-0", "2-0", "2-1"))
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        # The first steps of Adam amplify rounding errors of small gradients.
        if name.startswith(("net/", "ema/")):
            np.testing.assert_allclose(first[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


AUGMENTED = """
import json
import numpy as np
from ganzoo import DataInfo, TrainOptions, backend, distributed
from ganzoo.registry import plugins
from ganzoo.data.loader import ImageBatch
from ganzoo.interfaces.options import resolve
backend.start("cpu")
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
model = plugins.load().model("gan")
options = resolve(model.options, {"size": 8, "latent": 4})
state = TrainState(model, options, DataInfo("made-up", 100, 8, 3, flip=True), TrainOptions(batch=6, augment="ada"))
state.augmenter.controller.p = 0.5
step = Step(state, 0, None, lambda *arguments: None)
share = 6 // distributed.world_size()
for number in range(6):
    images = np.random.default_rng(number).integers(0, 256, (6, 8, 8, 3), np.uint8)
    first = share * distributed.rank()
    step(ImageBatch(images, np.zeros(6)).slice(first, first + share))
    state.count_step()
ada = state.metadata().to_json()["ada"]
weights = state.setup.networks["discriminator"].layers[0].weight.numpy()[0, :20].tolist()
print(json.dumps([ada, weights]) + "\\n", end="", flush=True)
"""


def test_augmentation_is_that_of_a_single_process():
    (alone,), together = ([json.loads(line) for line in run_program(n, AUGMENTED)] for n in (1, 2))
    assert together[0] == together[1]
    assert alone[0] == together[0][0]  # p, and the sums since its last adjustment
    assert alone[0]["scores"] == 12
    np.testing.assert_allclose(together[0][1], alone[1], rtol=1e-3, atol=1e-5)


# Maximum relative L2 differences of the weights. StarGAN v2 updates its generator twice per step, and in Adam's first
# updates small gradients move a weight as far as large ones, so rounding errors grow: to 1.4e-5 on an AMD EPYC of 2023.
# Gradients that are not averaged over the ranks give 1e-3.
MAX_DIFFERENCE = {"stargan2": 1e-4}


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_end_with_the_same_weights_as_one(domains, train, run):
    outputs = [train(n, *RUNS[run].split(), "--data", "pictures", "--experiments", str(n)) for n in (1, 2)]
    one, two = last_checkpoint("1"), last_checkpoint("2")
    assert one.metadata.progress == two.metadata.progress
    assert max(weight_differences(two, one).values()) < MAX_DIFFERENCE.get(run, 1e-5)
    if run == "lsgan":
        statistics = [name for name in one.tensors if "running" in name]  # they are those of the whole batch
        assert statistics
        for name in statistics:
            np.testing.assert_allclose(two.tensors[name], one.tensors[name], rtol=1e-4, atol=1e-6)
    assert len(list(Path("2").iterdir())) == 1  # one run folder, written by rank 0
    assert outputs[1].count("finished: ") == 1


def test_a_run_can_be_resumed_with_another_number_of_processes(domains, train):
    """Training with 2, then 1, then 2 processes ends with the weights of an uninterrupted run."""
    model = ["gan", "--size", "8", "--batch", "8"]
    folders = ["--data", "pictures", "--experiments"]
    train(1, *model, "--kimg", "0.048", *folders, "1")
    for processes, kimg in ((2, "0.016"), (1, "0.032"), (2, "0.048")):
        start = ["--resume", "0"] if kimg != "0.016" else model[1:]
        train(processes, "gan", *start, "--kimg", kimg, *folders, "2")
    assert max(weight_differences(last_checkpoint("2"), last_checkpoint("1")).values()) < 1e-5


def test_a_run_that_starts_with_trained_weights_equals_one_process(domains, train):
    tiny = ["--data", "pictures", "--batch", "8", "--experiments"]
    train(1, "gan", "--size", "8", "--kimg", "0.008", *tiny, "source")
    source = str(next(Path("source").iterdir()))
    for processes in (1, 2):
        start = ["gan", "--from", source, "--freeze-d", "1", "--kimg", "0.032"]
        output = train(processes, *start, *tiny, str(processes))
        assert output.count("starting with the weights of") == 1
    two, one = last_checkpoint("2"), last_checkpoint("1")
    assert max(weight_differences(two, one).values()) < 1e-5
    for name in ("net/discriminator/layers.0.weight", "adam/discriminator/first/layers.0.weight"):
        np.testing.assert_array_equal(two.tensors[name], one.tensors[name])


def test_killing_a_rank_ends_the_job_and_leaves_the_checkpoint_intact(domains, train):
    arguments = [*RUNS["gan"].split(), "--kimg", "1000", "--snapshot", "1", "--data", "pictures"]
    with subprocess.Popen(
        [*MPIRUN, "2", *command(*arguments)],
        env={**os.environ, **AS_ROOT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as job:
        deadline = time.monotonic() + 120
        while (
            not list(Path().glob("experiments/*/checkpoint-*")) and time.monotonic() < deadline and job.poll() is None
        ):
            time.sleep(0.1)
        os.kill(pid_of_rank(job.pid, 1), signal.SIGKILL)
        assert job.wait(timeout=60) != 0
    saved = last_checkpoint("experiments").metadata.progress.images  # reads every byte
    goal = (saved + 8) / 1000
    train(1, "gan", "--resume", "0", "--kimg", str(goal))
    assert last_checkpoint("experiments").metadata.progress.images == saved + 8


def pid_of_rank(mpirun: int, rank: int) -> int:
    """Return the process id of a rank that the process `mpirun` started."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.search(r"PPid:\s+(\d+)", (path / "status").read_text())[1])
            environment = (path / "environ").read_bytes().split(b"\0")
        except (OSError, TypeError):
            continue
        if parent == mpirun and f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment:
            return int(path.name)
    raise AssertionError(f"mpirun has no child process of rank {rank}")


def test_a_signal_stops_all_ranks_with_a_checkpoint(domains):
    arguments = [*RUNS["gan"].split(), "--kimg", "1000", "--data", "pictures"]
    with (
        open("output.txt", "w+") as output,
        subprocess.Popen(
            [*MPIRUN, "2", *command(*arguments)], env={**os.environ, **AS_ROOT}, stdout=output, stderr=output
        ) as job,
    ):
        deadline = time.monotonic() + 120
        while not list(Path().glob("experiments/*/stats.jsonl")) and time.monotonic() < deadline and job.poll() is None:
            time.sleep(0.1)
        job.send_signal(signal.SIGUSR1)
        assert job.wait(timeout=60) != 0
    assert Path("output.txt").read_text().count("interrupted: ") == 1
    assert last_checkpoint("experiments").metadata.progress.images > 0


@pytest.mark.parametrize("command", ["generate", "doctor"])
def test_only_train_runs_on_several_processes(command, ganzoo, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setattr(os, "_exit", sys.exit)
    result = ganzoo(command)
    assert result.exit_code == 2
    assert result.output.strip() == f"Error: mpirun is for `ganzoo train`; start `ganzoo {command}` without it."


def test_a_batch_that_cant_be_split_evenly_is_a_one_line_error(domains):
    words = [*MPIRUN, "2", *command("gan", "--batch", "7", "--data", "pictures")]
    done = subprocess.run(words, env={**os.environ, **AS_ROOT}, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert done.stderr.count("can't be split") == 1
    assert "--batch: 7 images can't be split evenly among 2 processes" in done.stderr
    assert not Path("experiments").exists()
