"""Training waits while another process compiles kernels."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TINY_RUN_OPTIONS

# Starts Jittor and waits for a line of input, so that another process can take the lock of Jittor's compiler first.
WAITING = """
import sys
from ganzoo import backend
from ganzoo.cli import main
backend.start("cpu")
print("ready", flush=True)
input()
main(sys.argv[1:], prog_name="ganzoo")
"""


@pytest.mark.parametrize("resumed", [False, True])
def test_a_signal_while_another_process_compiles_stops_cleanly(jittor, ganzoo, pictures, resumed):
    from jittor_utils.lock import lock_path

    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    arguments = [
        "train",
        "gan",
        *(["--resume", "0"] if resumed else ["--data", "pictures", *TINY_RUN_OPTIONS]),
        "--kimg",
        "1000",
    ]
    command = [sys.executable, "-c", WAITING, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **pipes) as child, open(lock_path, "r+") as lock:
        assert child.stdout.readline() == "ready\n"
        fcntl.lockf(lock, fcntl.LOCK_EX)
        child.stdin.write("\n")
        child.stdin.flush()
        while not re.search(rf"-> POSIX .* {child.pid} ", Path("/proc/locks").read_text()) and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        output = child.communicate(timeout=60)[0]
    assert child.returncode == 143
    assert "Traceback" not in output
    assert output.count("interrupted: ") == 1
    assert len(list(Path("experiments").iterdir())) == 1
