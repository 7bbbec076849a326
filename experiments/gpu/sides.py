"""Runs ganzoo and PyTorch, each in a process that answers requests for all rows (configurations of the benchmark), so
that each framework starts only once.

A side is one of the implementations that are compared: `ganzoo`, `ganzoo+FLAG=VALUE` (with a flag of GZ_FLAGS), `torch`
and `torch-channels-last`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import kit

ANSWER_TIMEOUT = 90.0  # seconds; a first step compiles kernels
GRACE = 10.0  # seconds after the deadline in which answers are still accepted


class NoAnswer(RuntimeError):
    """A side failed, ended or is late."""


class SideProcess:
    """A side in a process of its own. A late process is not killed: it gets no more requests, and ends after its
    current one."""

    def __init__(self, name: str, precision: str) -> None:
        reader, writer = os.pipe()
        side, _, flags = name.partition("+")
        environment = {**os.environ, "GZ_FLAGS": flags}
        if precision == "fp32":  # for PyTorch; ganzoo sets it itself
            environment["NVIDIA_TF32_OVERRIDE"] = "0"
        self.name = name
        self.log = kit.WORK / "log" / f"side-{name.replace('=', '-')}-{precision}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(kit.HERE / "step.py"), "serve", side, precision, str(writer)]
        with open(self.log, "a") as log:
            pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
            self.child = subprocess.Popen(command, **pipes, text=True, env=environment, pass_fds=[writer])
        os.close(writer)
        # A side that is late outlives the process that started it, and holds GPU memory; kit.sh waits for it before the
        # next measurement.
        (kit.WORK / f"side-{self.child.pid}.pid").touch()
        self.answers, self.buffer, self.abandoned = reader, b"", False

    def request(self, *words: Any) -> Any:
        """Send a request and return the answer. Raises NoAnswer if there is none in time."""
        if self.abandoned:
            raise NoAnswer(f"{self.name}: an earlier request was not answered")
        assert self.child.stdin is not None
        until = min(time.time() + ANSWER_TIMEOUT, kit.deadline() + GRACE)
        try:
            self.child.stdin.write(json.dumps(words) + "\n")
            self.child.stdin.flush()
            while b"\n" not in self.buffer:
                self._read(until - time.time())
        except OSError as error:
            self._abandon()
            raise NoAnswer(f"{self.name}: {error} at {words[:2]}: {self.log.read_text()[-500:]}") from error
        line, _, self.buffer = self.buffer.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise NoAnswer(f"{self.name}: {answer['error']}\n{answer['trace'][-700:]}")
        return answer["ok"]

    def _read(self, seconds: float) -> None:
        if not select.select([self.answers], [], [], max(0.0, seconds))[0]:
            raise TimeoutError("no answer in time")
        chunk = os.read(self.answers, 65536)
        if not chunk:
            raise ConnectionError(f"the process ended with status {self.child.wait()}")
        self.buffer += chunk

    def _abandon(self) -> None:
        self.abandoned = True
        assert self.child.stdin is not None
        with contextlib.suppress(OSError):
            self.child.stdin.close()

    def ended(self) -> bool:
        return self.child.poll() is not None

    def close(self) -> None:
        """Tell the process to end, and wait for it for a while."""
        self._abandon()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(GRACE)


def serve(name: str, precision: str, writer: str) -> None:
    """Run a side: read requests from stdin, one JSON list per line, and answer on the file descriptor `writer`."""
    server = Server(*(_ganzoo(precision) if name == "ganzoo" else _torch(name, precision)))
    with os.fdopen(int(writer), "w") as file:
        for line in sys.stdin:
            kind, *words = json.loads(line)
            try:
                answer = {"ok": server.answer(kind, words)}
            except Exception as error:
                answer = {"error": repr(error)[:600], "trace": traceback.format_exc()[-1200:]}
            print(json.dumps(answer, default=str), file=file, flush=True)


class Server:
    """Answers requests: ["row", NAME] builds the networks of a row, ["iterate", SECONDS] trains at least one step;
    any other request, such as ["losses"], calls the side's method of that name."""

    def __init__(self, build_side: Callable[[Any], Any], release_memory: Callable[[], None]) -> None:
        self.build_side, self.release_memory = build_side, release_memory
        self.side: Any = None

    def answer(self, kind: str, words: list[Any]) -> Any:
        if kind == "row":
            return self.build_row(*words)
        return self.iterate(*words) if kind == "iterate" else getattr(self.side, kind)(*words)

    def build_row(self, name: str) -> None:
        self.side = None
        gc.collect()
        self.release_memory()
        self.side = self.build_side(kit.find_row(name))

    def iterate(self, seconds: float) -> dict[str, float]:
        """Return `wall`, the seconds per iteration; `host`, those until its work is queued on the GPU; and `memory`,
        the bytes of GPU memory."""
        count, began = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - began < seconds:
            self.side.iterate()
            count += 1
        host = time.perf_counter() - began
        self.side.wait()
        wall = time.perf_counter() - began
        return {"wall": wall / count, "host": host / count, "memory": self.side.gpu_memory()}


def _ganzoo(precision: str) -> tuple[Callable[[Any], Any], Callable[[], None]]:
    backend = kit.start(precision)
    import ganzoo_side

    def release_memory() -> None:
        backend.run_pending()
        backend.jittor().gc()

    return lambda row: ganzoo_side.Side(row, kit.DEVICE, precision), release_memory


def _torch(name: str, precision: str) -> tuple[Callable[[Any], Any], Callable[[], None]]:
    import torch
    import torch_side

    torch.set_num_threads(1)

    def release_memory() -> None:
        if kit.DEVICE == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    return lambda row: torch_side.Side(row, name == "torch-channels-last", kit.DEVICE, precision), release_memory
