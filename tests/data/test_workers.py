from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ganzoo.data.workers import parallel_map
from ganzoo.errors import DataError
from tests.support.processes import has_ended, wait_until


def describe(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def die(number: int) -> int:
    os._exit(number)


def fail(number: int) -> int:
    raise DataError(f"not {number}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    with parallel_map(describe, workers) as run:
        results = list(run(range(50)))
    assert [square for square, _ in results] == [number * number for number in range(50)]
    assert (os.getpid() in {process for _, process in results}) is (workers == 1)


def test_a_function_that_cannot_be_pickled_is_running_in_threads() -> None:
    lock = threading.Lock()  # can't be pickled

    def describe_locked(number: int) -> tuple[int, int]:
        with lock:
            return describe(number)

    with parallel_map(describe_locked, 2) as run:
        results = list(run(range(20)))
    assert results == [(number * number, os.getpid()) for number in range(20)]


def test_few_results_are_buffered() -> None:
    requested: list[int] = []

    def items() -> Any:
        for number in range(1000):
            requested.append(number)
            yield number

    with parallel_map(lambda number: number, 2) as run:
        for number, _ in zip(range(100), run(items())):
            assert len(requested) < number + 20


def test_exceptions_reach_the_caller() -> None:
    with pytest.raises(DataError, match="not 7"), parallel_map(fail, 2) as run:
        list(run([7]))


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(DataError, match="a worker process died"), parallel_map(die, 2) as run:
        list(run([3]))


def send_half(number: int) -> bytes:
    """Let this process send only the first half of its result: it dies then, or for number 1 it waits."""

    def send(connection: Connection, message: Any) -> None:
        data = bytes(message)
        os.write(connection.fileno(), struct.pack("!i", len(data)) + data[: len(data) // 2])
        if number == 1:
            time.sleep(600)
        os._exit(1)

    Connection._send_bytes = send  # type: ignore[attr-defined]
    return bytes(1000)


def test_a_process_that_dies_while_it_sends_a_result_is_an_error() -> None:
    with pytest.raises(DataError, match="a worker process died"), parallel_map(send_half, 2) as run:
        list(run([0, 0]))  # the second waits for the first


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, OSError])
def test_a_pool_ends_though_a_process_has_sent_half_a_result(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield from (1, 1)
        time.sleep(3.0)
        raise error

    with pytest.raises(error), parallel_map(send_half, 2) as run:
        list(run(items()))


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, time\n"
        "from ganzoo.data.workers import parallel_map\n"
        "def number(_):\n"
        "    time.sleep(0.2)\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    with parallel_map(number, 2) as run:\n"
        "        print(*set(run(range(4))), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == -9
    processes = [int(word) for word in done.stdout.split()]
    assert processes
    wait_until(lambda: all(map(has_ended, processes)))


@pytest.mark.parametrize("again", [False, True])
def test_a_signal_ends_a_command_whose_workers_are_busy(tmp_path: Path, again: bool) -> None:
    """With `again`, the handler interrupts the command once more while the pool ends."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from ganzoo import signals\n"
        "from ganzoo.data.workers import parallel_map\n"
        "def work(number):\n"
        "    Path(str(number)).touch()\n"
        "    time.sleep(600)\n"
        "def interrupt():\n"
        "    while not Path('0').exists() or not Path('1').exists():\n"
        "        time.sleep(0.05)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "if __name__ == '__main__':\n"
        f"    signals.RERAISE_SECONDS = {0.001 if again else 10.0}\n"
        "    handle = signals.Interrupts.__call__\n"
        "    def handle_and_slow_down(*arguments):\n"  # interrupted once more, but not for ever
        "        try:\n"
        "            handle(*arguments)\n"
        "        finally:\n"
        "            signals.RERAISE_SECONDS = 10.0\n"
        "    signals.Interrupts.__call__ = handle_and_slow_down\n"
        "    threading.Thread(target=interrupt, daemon=True).start()\n"
        "    try:\n"
        "        with signals.interruptible() as interrupts:\n"
        "            try:\n"
        "                with parallel_map(work, 2) as run:\n"
        "                    list(run(range(4)))\n"
        "            except KeyboardInterrupt:\n"
        "                sys.exit(interrupts.status)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(interrupts.status)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 143
