"""What the steps share: where things are, the deadline, how Jittor is started, and the lines of results."""

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
WORK = Path(os.environ.get("GZ_WORK", "/tmp/ganzoo-gpu"))  # all that a session writes
CARRIED = Path(os.environ.get("GZ_CARRIED", ROOT / ".gpu"))  # what prepare.sh has put together
DEVICE = os.environ.get("GZ_DEVICE", "cpu")
SMALL = os.environ.get("GZ_SMALL") == "1"  # tiny sizes: a rehearsal
PRECISE = "tf32" if DEVICE == "cuda" else "fp32"
SHOWN = 2000  # characters of a line that the log gets; results.jsonl gets all

sys.path[:0] = [str(BENCH), str(ROOT)]


def report(kind: str, **found: Any) -> None:
    """Append a line to results.jsonl, and print it. It is on the disk at once: the machine may be gone any time."""
    age = time.time() - float(os.environ.get("GZ_BEGAN", time.time()))
    line = json.dumps({"kind": kind, "t": round(age, 1), **found}, default=str)
    print(line[:SHOWN], flush=True)
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / "results.jsonl", "a") as file:
        file.write(line + "\n")


def deadline() -> float:
    """When to begin nothing new, as time.time() counts."""
    return float(os.environ.get("GZ_UNTIL", "inf"))


def late() -> bool:
    """Whether the deadline is over. No step is ever killed: it would leave locks, and a GPU that hangs."""
    return time.time() > deadline()


def start(precision: str) -> Any:
    """Start Jittor on the session's device, with the flags that GZ_FLAGS names, such as para_opt_level=4; return
    ganzoo.backend."""
    from ganzoo import backend

    began = time.perf_counter()
    backend.start(DEVICE, precision)
    flags = backend.jittor().flags
    for pair in filter(None, os.environ.get("GZ_FLAGS", "").split(",")):
        name, _, value = pair.partition("=")
        setattr(flags, name, int(value))
    if os.environ.get("GZ_UNLOCK") == "1":  # processes compile beside each other: see nvcc.in
        flags.disable_lock = 1
    report("start", precision=precision, seconds=time.perf_counter() - began, flags=os.environ.get("GZ_FLAGS", ""))
    return backend


def row(name: str) -> Row:
    """A row of the benchmark, or another one of the form MODEL-SIZE-BATCH."""
    from rows import ROWS, Row

    if name in ROWS:
        return ROWS[name]
    model, size, batch = name.split("-")
    return Row(model, int(size), int(batch), channels=1 if model == "gan" else 3)
