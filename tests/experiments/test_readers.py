"""The benchmark of readers reads every format, and compares the pixels; no time is asserted."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "experiments" / "bench" / "readers.py"


def test_every_format_whose_library_is_installed_gets_a_row() -> None:
    command = [sys.executable, str(SCRIPT), "--count", "20", "--side", "8", "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = [line.split("|")[1].strip() for line in done.stdout.splitlines()]
    formats = runpy.run_path(str(SCRIPT))["FORMATS"]
    installed = [kind for kind, _, _, library in formats if importlib.util.find_spec(library)]
    assert {"folder", "zip", "zip with dataset.json", "LMDB", "npy", "npz"} <= {*installed} <= {*kinds}
