"""Code shared by the steps: paths, the deadline, starting Jittor, and reporting results."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rows import Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BENCH = ROOT / "experiments/bench"
WORK = Path(os.environ.get("GZ_WORK", "/tmp/ganzoo-gpu"))  # everything that a session writes
BUNDLE = Path(os.environ.get("GZ_BUNDLE", ROOT / ".gpu"))  # made by prepare.sh, copied to the GPU machine
DEVICE = os.environ.get("GZ_DEVICE", "cpu")
SMALL = os.environ.get("GZ_SMALL") == "1"  # tiny sizes, for a rehearsal
FLAGS = os.environ.get("GZ_FLAGS", "")
DEFAULT_PRECISION = "tf32" if DEVICE == "cuda" else "fp32"
MAX_LOGGED_CHARS = 2000  # characters of a result in the log; results.jsonl gets all

sys.path[:0] = [str(BENCH), str(ROOT)]


def report(kind: str, **found: Any) -> None:
    """Print a line, and append it to results.jsonl at once, because the machine may disappear at any time."""
    age = time.time() - float(os.environ.get("GZ_START", time.time()))
    line = json.dumps({"kind": kind, "t": round(age, 1), **found}, default=str)
    print(line[:MAX_LOGGED_CHARS], flush=True)
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / "results.jsonl", "a") as file:
        file.write(line + "\n")


def deadline() -> float:
    """Return the time.time() after which nothing new is started."""
    return float(os.environ.get("GZ_DEADLINE", "inf"))


def past_deadline() -> bool:
    """Return whether the deadline has passed. No step is killed, because that might leave locks or hang the GPU."""
    return time.time() > deadline()


def start(precision: str) -> Any:
    """Start Jittor on the session's device with the flags in GZ_FLAGS, such as para_opt_level=4. Return ganzoo.backend.

    With cudnn_search=0, cuDNN chooses the algorithms of convolutions by heuristics instead of timing them.
    """
    from ganzoo import backend

    began = time.perf_counter()
    backend.start(DEVICE, precision)
    jt = backend.jittor()
    for pair in filter(None, FLAGS.split(",")):
        name, _, value = pair.partition("=")
        if name != "cudnn_search":
            setattr(jt.flags, name, int(value))
        elif int(value) == 0:
            jt.cudnn.set_algorithm_cache_size(0)
    if os.environ.get("GZ_UNLOCK") == "1":  # processes compile at the same time: see nvcc.in
        jt.flags.disable_lock = 1
    report("start", precision=precision, seconds=time.perf_counter() - began, flags=FLAGS)
    return backend


def find_row(name: str) -> Row:
    """Return the row of the benchmark with this name, MODEL-SIZE-BATCH, or a new row if there is none."""
    from rows import ROWS, Row

    if name in ROWS:
        return ROWS[name]
    model, size, batch = name.split("-")
    return Row(model, int(size), int(batch), channels=1 if model == "gan" else 3)
