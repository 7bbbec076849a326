"""Run each fuzz target for some seconds, always with the same inputs. `make fuzz` runs longer and searches for new
inputs."""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo.errors import GanzooError
from tests.fuzz import TARGETS, reading

ROOT = Path(__file__).parent.parent.parent
INPUTS, SECONDS = 300, 25  # inputs per target, time limit per input
LIMIT_MB = 2048  # of peak memory of a target
AS_IT_IS = b"\0"  # an input with this first byte holds the file itself, not edits of a seed
# Runs in its own process, because C code may crash and peak memory is measured.
PROGRAM = """
import faulthandler, importlib, json, sys
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

target, inputs, seconds = importlib.import_module(f"tests.fuzz.{sys.argv[1]}"), int(sys.argv[2]), int(sys.argv[3])
seeds = [b"\\0" + seed for seed in target.seeds()]  # the first byte says that the seed is the file itself
tried = 0

@given(st.sampled_from(seeds) | st.binary(min_size=20, max_size=120))
@settings(max_examples=inputs, derandomize=True, database=None, deadline=None,
          suppress_health_check=[*HealthCheck], phases=[Phase.generate])
def fuzz(data):
    global tried
    tried += 1
    faulthandler.dump_traceback_later(seconds, exit=True)
    target.check(data)
    faulthandler.cancel_dump_traceback_later()

fuzz()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
# Not ru_maxrss, which includes memory of the parent process.
print(json.dumps({"tried": tried, "peak_mb": int(status["VmHWM"].split()[0]) // 1024}), flush=True)
import os; os._exit(0)
"""


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_read_without_error(jittor, workdir, monkeypatch, target):
    read = []

    @contextlib.contextmanager
    def recording():
        try:
            yield
            read.append(seed)
        except GanzooError:
            pass

    module = importlib.import_module(f"tests.fuzz.{target}")
    # Targets for data sets share a function in `reading`, the others import ganzoo_errors_allowed themselves.
    monkeypatch.setattr(
        reading if not hasattr(module, "ganzoo_errors_allowed") else module, "ganzoo_errors_allowed", recording
    )
    for seed in module.seeds():
        module.check(AS_IT_IS + seed)
        assert seed in read


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_files_raise_only_ganzoo_errors(workdir, target):
    command = [sys.executable, "-c", PROGRAM, target, str(INPUTS), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tried"] > INPUTS / 2
    assert found["peak_mb"] < LIMIT_MB
