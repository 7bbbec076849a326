"""The script for Slurm, run with a fake mpirun."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments/cluster/slurm.sh"
MPIRUN = """#!/bin/bash
printf '%s\\n' "$@" >arguments
trap 'echo saved >checkpoint; exit 138' USR1
while true; do sleep 0.05; done
"""


@pytest.fixture
def job(workdir):
    """Return a function that starts the script and, once mpirun runs, returns the process and mpirun's arguments."""
    (workdir / "bin").mkdir()
    (workdir / "bin/mpirun").write_text(MPIRUN)
    (workdir / "bin/mpirun").chmod(0o755)
    started = []

    def start(*arguments: str) -> tuple[subprocess.Popen, list[str]]:
        path = f"{workdir / 'bin'}:{os.environ['PATH']}"
        started.append(subprocess.Popen([SCRIPT, *arguments], env={**os.environ, "PATH": path}, start_new_session=True))
        until = time.monotonic() + 20
        while not Path("arguments").exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)  # mpirun sets its trap after writing the arguments
        return started[-1], Path("arguments").read_text().splitlines()

    yield start
    for each in started:
        if each.poll() is None:
            os.killpg(each.pid, signal.SIGKILL)
        each.wait()


def test_the_signal_is_passed_to_mpirun_and_its_end_awaited(job):
    child, arguments = job("stylegan", "--data", "my set")
    assert arguments == ["ganzoo", "train", "stylegan", "--data", "my set"]
    child.send_signal(signal.SIGUSR1)  # like Slurm, only to the batch shell
    child.wait(timeout=20)
    assert Path("checkpoint").read_text() == "saved\n"


@pytest.mark.parametrize("folder", ["experiments", "runs/faces"])
def test_an_existing_run_is_resumed(job, folder):
    begun = Path(folder) / "00000-stylegan-faces"
    begun.mkdir(parents=True)
    (begun / "options.json").touch()
    given = [] if folder == "experiments" else ["--experiments", folder]
    _, arguments = job("stylegan", "--data", "faces", *given)
    assert arguments == ["ganzoo", "train", "stylegan", "--resume", "latest", "--experiments", folder]
