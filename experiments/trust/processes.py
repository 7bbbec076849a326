"""Code shared by the scripts in this folder: starts `ganzoo` in child processes, and reads run folders from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import CheckpointError
from ganzoo.runs import Run

MARKER = "GANZOO_TRUST"  # environment variable that identifies a child and the processes that the child leaves behind
EXIT_STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
FORBIDDEN_OUTPUT = re.compile(r"Traceback|Exception ignored|Caught SIG|Fatal Python|core dumped|UserWarning|Segfault")
# The whole output of a Python that is interrupted during start-up: all frames are in Python's frozen modules.
STARTUP_TRACEBACK = re.compile(
    r'\A(\^C)?Traceback \(most recent call last\):\n(  File "<frozen [^\n]*\n)+KeyboardInterrupt\n*\Z'
)
HANG_SECONDS = 300.0  # timeout; a first compilation takes minutes

# The smallest networks, for many steps and frequent checkpoints.
_NARROW = ["--channels-base", "512", "--channels-max", "8"]
TINY = {
    "gan": ["--size", "8", "--batch", "8"],
    "lsgan": ["--size", "16", "--batch", "8"],
    "stylegan": [*_NARROW, "--latent", "8", "--mapping-layers", "2", "--mixing", "--batch", "4"],
    "stargan2": [*_NARROW, "--hidden", "8", "--style", "8", "--latent", "4", "--ds-iter", "50", "--batch", "8"],
}
DATA = {"gan": "mnist", "lsgan": "mnist", "stylegan": "symbols", "stargan2": "styles"}


class Session:
    """A `ganzoo` process that writes to `output`.out and `output`.err. With `limit`, its files can't grow beyond that
    many bytes, as if the disk were full."""

    def __init__(self, arguments: list[str], folder: Path, output: Path, threads: int, limit: int | None = None):
        self.out, self.err = output.with_suffix(".out"), output.with_suffix(".err")
        self.marker = uuid.uuid4().hex
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), MARKER: self.marker, "PYTHONFAULTHANDLER": "1"}
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ganzoo", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches only us, not the child
                preexec_fn=lambda: prepare_child(limit),
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    def ended(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: int) -> None:
        """Send a signal if the process is still running."""
        if not self.ended():
            self.process.send_signal(number)

    def wait(self, seconds: float = HANG_SECONDS) -> int:
        """Return the exit status. A process that does not end in time writes a traceback and is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.abort()
            raise Hung(f"it did not end within {seconds:.0f} s; its output ends:\n{self.last_output()}") from None

    def abort(self) -> None:
        """Kill the process. Before that, it writes a traceback of all threads to stderr."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGABRT)
        time.sleep(1)
        self.send(signal.SIGKILL)
        self.process.wait()

    def wait_until(self, condition: Callable[[], bool], interval: float = 0.01, seconds: float = HANG_SECONDS) -> bool:
        """Wait until `condition()` is true. Return False if the process ends first; raise Hung after `seconds`."""
        limit = time.monotonic() + seconds
        while not condition():
            if self.ended():
                return False
            if time.monotonic() > limit:
                self.abort()
                raise Hung(f"nothing happened for {seconds:.0f} s; its output ends:\n{self.last_output()}")
            time.sleep(interval)
        return True

    def output(self) -> str:
        return self.out.read_text(errors="replace") + "\n" + self.err.read_text(errors="replace")

    def last_output(self) -> str:
        return self.output()[-4000:]

    def errors(self) -> list[str]:
        """Return the error lines. Carriage returns of progress bars count as line ends."""
        lines = self.output().replace("\r", "\n").splitlines()
        return [line for line in lines if line.startswith(("Error", "Traceback"))]

    def kill_leftovers(self, seconds: float = 10.0) -> list[int]:
        """Kill the processes that this one started and that outlive it for `seconds`. Return their PIDs."""
        limit = time.monotonic() + seconds
        while (found := find_marked(self.marker)) and time.monotonic() < limit:
            time.sleep(0.1)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return found


def forbidden_output(shown: str) -> str:
    """Return the first text in a command's output that no user should ever see; '' if there is none.

    A Ctrl-C before ganzoo's first line makes Python itself show a traceback, which no program can prevent.
    """
    found = FORBIDDEN_OUTPUT.search(shown)
    return found[0] if found and not STARTUP_TRACEBACK.match(shown.replace("\r", "")) else ""


def prepare_child(limit: int | None) -> None:
    """Limit the size of files, and restore default signal handling, because we may run under nohup or in the background
    of a script. Runs in the child, before ganzoo."""
    for each in EXIT_STATUS:
        if each != signal.SIGKILL:
            signal.signal(each, signal.SIG_DFL)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


class SessionFailed(Exception):
    """A process ended with an error."""


class Hung(SessionFailed):
    """A process made no progress and was killed."""


def find_marked(marker: str) -> list[int]:
    """Return the processes with this marker in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARKER}={marker}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@dataclass(frozen=True)
class Usage:
    """Resident bytes, open files and threads of a process, and the time of measurement in seconds."""

    time: float
    memory: int
    files: int
    threads: int


def usage(pid: int) -> Usage | None:
    """Return the current usage of a process, or None if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files, threads = (len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))  # noqa: PTH208
    except (OSError, IndexError):
        return None
    return Usage(time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE"), files, threads)


class RunWatcher:
    """Follows the log of a run from now on."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._at = len(self._log())

    def _log(self) -> bytes:
        try:
            return (self.run / "log.txt").read_bytes()
        except OSError:
            return b""

    def lines(self) -> list[str]:
        """Return the complete lines added to log.txt."""
        added = self._log()[self._at :].decode(errors="replace")
        return [line for line in added.split("\n")[:-1] if line]

    def progress_reports(self) -> int:
        """Return how many progress reports the session has printed: one at each tick."""
        return sum(" img/s" in line for line in self.lines())

    def stages(self) -> list[str]:
        """Return the lines that announce a stage; the first line announces the stage in which the session began."""
        return [line for line in self.lines() if ": stage " in line]


def find_run(experiments: Path) -> Path | None:
    """Return the only run in a folder, or None."""
    return next(iter(sorted(experiments.glob("0*-*"))), None)


def read_stats(run: Path) -> list[dict[str, Any]]:
    return Run(run).stats()


def last_stats(run: Path) -> dict[str, Any]:
    """Return the newest row of stats.jsonl, without reading all of it."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(run / "stats.jsonl", "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
        found: dict[str, Any] = json.loads(file.read().split(b"\n")[-2])
        return found
    return {"images": 0, "alpha": 1.0, "size": 0}


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint files, oldest first."""
    return sorted(run.glob(f"checkpoint-*{checkpoint.SUFFIX}"))


def checkpoint_images(path: Path | str) -> int:
    """Return the number of images in a checkpoint's name."""
    return int(Path(path).name.split(".")[0].split("-")[1])


def read_intact(path: Path) -> checkpoint.Checkpoint | None:
    """Return the checkpoint, or None if it is damaged."""
    try:
        return checkpoint.read(path)
    except CheckpointError:
        return None


def newest_intact(run: Path) -> Path | None:
    return next((path for path in reversed(checkpoints(run)) if read_intact(path)), None)


def reported_saves(run: Path) -> list[int]:
    """Return the image counts of the checkpoints that log.txt reports as saved, in order."""
    with contextlib.suppress(OSError):
        text = (run / "log.txt").read_text(errors="replace")
        lines = (line.split() for line in text.split("\n")[:-1])
        return [checkpoint_images(line[-1]) for line in lines if len(line) > 1 and line[-2] == "saved"]
    return []


def temporary_files(run: Path) -> list[str]:
    """Return the names of temporary files, which begin with a dot."""
    return sorted(path.name for path in run.iterdir() if path.name.startswith("."))


def is_writing_checkpoint(run: Path) -> bool:
    """Return whether a temporary file of a checkpoint exists."""
    try:
        with os.scandir(run) as entries:
            return any("-checkpoint-" in entry.name for entry in entries)
    except OSError:
        return False


def describe_difference(ours: Path, theirs: Path) -> str:
    """Return how two checkpoint files differ, or '' if they are the same byte for byte."""
    if digest(ours) == digest(theirs):
        return ""
    import numpy as np

    one, other = checkpoint.read(ours), checkpoint.read(theirs)
    names = sorted(one.tensors.keys() ^ other.tensors.keys())
    for name in one.tensors.keys() & other.tensors.keys():
        if not _same(np.asarray(one.tensors[name]), np.asarray(other.tensors[name])):
            names.append(name)
    if names:
        return f"{len(names)} of {len(other.tensors)} tensors differ, e.g. {min(names)}"
    found = dict(_differences(*({**each.run.to_json(), **each.metadata.to_json()} for each in (one, other)), ""))
    return "; ".join(f"{key}: {value}" for key, value in found.items()) or "the order in the file"


def _same(one: Any, other: Any) -> bool:
    """Compare bit for bit, so that NaN equals itself and -0 differs from 0."""
    return bool(one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes())


def _differences(one: Any, other: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{at}.{key}" if at else key)
    elif one != other:
        yield at, f"{str(one)[:40]} is not {str(other)[:40]}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_digest() -> str:
    """Return a hash of ganzoo's code. A change of the code between runs that are compared might change rounding."""
    import ganzoo

    files = [path for folder in ganzoo.__path__ for path in sorted(Path(folder).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def format_table(columns: list[str], lines: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns."""
    everything = [columns, *lines]
    widths = [max(len(line[at]) for line in everything) for at in range(len(columns))]
    for line in everything:
        yield "  ".join(value.ljust(width) for value, width in zip(line, widths)).rstrip()
