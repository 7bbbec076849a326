"""What the scripts of this folder share: `ganzoo` in child processes, and what a run folder tells from outside."""

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

MARK = "GANZOO_TRUST"  # in the environment of every child, so that the children's own are found when it is gone
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
UNWANTED = re.compile(r"Traceback|Exception ignored|Caught SIG|Fatal Python|core dumped|UserWarning|Segfault")
# The whole output of a Python that is interrupted while it starts: its frames are those of modules inside Python.
STARTING = re.compile(
    r'\A(\^C)?Traceback \(most recent call last\):\n(  File "<frozen [^\n]*\n)+KeyboardInterrupt\n*\Z'
)
HANG = 300.0  # seconds without what is waited for; a first compilation takes minutes

# The smallest networks, so that steps are many and checkpoints are frequent.
_NARROW = ["--channels-base", "512", "--channels-max", "8"]
TINY = {
    "gan": ["--size", "8", "--batch", "8"],
    "lsgan": ["--size", "16", "--batch", "8"],
    "stylegan": [*_NARROW, "--latent", "8", "--mapping-layers", "2", "--mixing", "--batch", "4"],
    "stargan2": [*_NARROW, "--hidden", "8", "--style", "8", "--latent", "4", "--ds-iter", "50", "--batch", "8"],
}
DATA = {"gan": "mnist", "lsgan": "mnist", "stylegan": "symbols", "stargan2": "styles"}


class Session:
    """One `ganzoo` process, its output in `output`.out and `output`.err. With `limit` no file it writes can grow
    beyond so many bytes, as if the disk were full."""

    def __init__(self, arguments: list[str], folder: Path, output: Path, threads: int, limit: int | None = None):
        self.out, self.err = output.with_suffix(".out"), output.with_suffix(".err")
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), MARK: self.mark, "PYTHONFAULTHANDLER": "1"}
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ganzoo", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,  # Ctrl-C goes to us alone, and its signals are ours to send
                preexec_fn=lambda: prepare_child(limit),
            )
        self.began = time.monotonic()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def ended(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: int) -> None:
        """Send a signal, if the process is still there."""
        if not self.ended():
            self.process.send_signal(number)

    def wait(self, seconds: float = HANG) -> int:
        """The exit status. A process that does not end in time is made to tell where it hangs, and killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise Hung(f"it did not end within {seconds:.0f} s; {self.err} tells where it was") from None

    def end(self) -> None:
        """Kill it, wherever it is; stderr then tells where."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGABRT)
        time.sleep(1)
        self.send(signal.SIGKILL)
        self.process.wait()

    def until(self, there: Callable[[], bool], every: float = 0.01, seconds: float = HANG) -> bool:
        """Wait until `there` is true; False if the process ended before. Hung after so many seconds."""
        limit = time.monotonic() + seconds
        while not there():
            if self.ended():
                return False
            if time.monotonic() > limit:
                self.end()
                raise Hung(f"nothing happened for {seconds:.0f} s; {self.err} tells where it was")
            time.sleep(every)
        return True

    def output(self) -> str:
        return self.out.read_text(errors="replace") + "\n" + self.err.read_text(errors="replace")

    def errors(self) -> list[str]:
        """The lines that tell an error; progress bars are overwritten by carriage returns."""
        lines = self.output().replace("\r", "\n").splitlines()
        return [line for line in lines if line.startswith(("Error", "Traceback"))]

    def left_over(self, seconds: float = 10.0) -> list[int]:
        """Processes that it started and that outlive it for so long; they are killed."""
        limit = time.monotonic() + seconds
        while (found := marked(self.mark)) and time.monotonic() < limit:
            time.sleep(0.1)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return found


def unwanted(shown: str) -> str:
    """What no user should see in the output of a command, whatever ended it; nothing if that is all right.

    A Ctrl-C before ganzoo's first line is answered by Python's own start, with a traceback that no program can help.
    """
    found = UNWANTED.search(shown)
    return found[0] if found and not STARTING.match(shown.replace("\r", "")) else ""


def prepare_child(limit: int | None) -> None:
    """In the child, before ganzoo: signals do what they do by default, though we ran under nohup or in the background
    of a script, and files stay below a limit."""
    for each in STATUS:
        if each != signal.SIGKILL:
            signal.signal(each, signal.SIG_DFL)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


class Hung(Exception):
    """A process that made no progress was killed."""


def marked(mark: str) -> list[int]:
    """The processes with this mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@dataclass(frozen=True)
class Usage:
    """What a process holds: resident bytes, open files, threads, at a time in seconds."""

    time: float
    memory: int
    files: int
    threads: int


def usage(pid: int) -> Usage | None:
    """What a process holds now; None if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files, threads = (len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))  # noqa: PTH208
    except (OSError, IndexError):
        return None
    return Usage(time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE"), files, threads)


class Watch:
    """What happens in a run's folder from now on."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._at = len(self._log())

    def _log(self) -> bytes:
        try:
            return (self.run / "log.txt").read_bytes()
        except OSError:
            return b""

    def lines(self) -> list[str]:
        """The whole lines that were added to log.txt."""
        added = self._log()[self._at :].decode(errors="replace")
        return [line for line in added.split("\n")[:-1] if line]

    def ticks(self) -> int:
        """How many reports were made."""
        return sum(" img/s" in line for line in self.lines())

    def stages(self) -> list[str]:
        """The lines that told a stage; the first is the one that the session began in."""
        return [line for line in self.lines() if ": stage " in line]


def folder_of(experiments: Path) -> Path | None:
    """The one run in a folder, as soon as it is there."""
    return next(iter(sorted(experiments.glob("0*-*"))), None)


def rows(run: Path) -> list[dict[str, Any]]:
    return Run(run).stats()


def last_row(run: Path) -> dict[str, Any]:
    """The newest row of stats.jsonl, cheaply."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(run / "stats.jsonl", "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
        found: dict[str, Any] = json.loads(file.read().split(b"\n")[-2])
        return found
    return {"images": 0, "alpha": 1.0, "size": 0}


def checkpoints(run: Path) -> list[Path]:
    """By number, oldest first."""
    return sorted(run.glob(f"checkpoint-*{checkpoint.SUFFIX}"))


def number(path: Path | str) -> int:
    """The images that a checkpoint's name tells."""
    return int(Path(path).name.split(".")[0].split("-")[1])


def whole(path: Path) -> checkpoint.Checkpoint | None:
    """The checkpoint, if it is one."""
    try:
        return checkpoint.read(path)
    except CheckpointError:
        return None


def newest_whole(run: Path) -> Path | None:
    return next((path for path in reversed(checkpoints(run)) if whole(path)), None)


def reported(run: Path) -> list[int]:
    """The numbers of the checkpoints that log.txt reports as saved, in its order."""
    with contextlib.suppress(OSError):
        text = (run / "log.txt").read_text(errors="replace")
        lines = (line.split() for line in text.split("\n")[:-1])
        return [number(line[-1]) for line in lines if len(line) > 1 and line[-2] == "saved"]
    return []


def hidden(run: Path) -> list[str]:
    """Temporary files: those whose names begin with a dot."""
    return sorted(path.name for path in run.iterdir() if path.name.startswith("."))


def being_written(run: Path) -> bool:
    """Whether a temporary file of a checkpoint is there now."""
    try:
        with os.scandir(run) as entries:
            return any("-checkpoint-" in entry.name for entry in entries)
    except OSError:
        return False


def difference(ours: Path, theirs: Path) -> str:
    """How two checkpoint files differ; nothing if they are the same, byte by byte."""
    if digest(ours) == digest(theirs):
        return ""
    import numpy as np

    one, other = checkpoint.read(ours), checkpoint.read(theirs)
    names = sorted(one.tensors.keys() ^ other.tensors.keys())
    for name in one.tensors.keys() & other.tensors.keys():
        if not _same(np.asarray(one.tensors[name]), np.asarray(other.tensors[name])):
            names.append(name)
    if names:
        return f"{len(names)} of {len(other.tensors)} tensors differ, {min(names)} for one"
    told = [{**each.run.to_json(), **each.metadata.to_json()} for each in (one, other)]
    found = dict(_differences(*told, ""))
    return "; ".join(f"{key}: {value}" for key, value in found.items()) or "the order in the file"


def _same(one: Any, other: Any) -> bool:
    """Bit by bit, so that NaN is itself and -0 is not 0."""
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
    """Of ganzoo's code: another one rounds in another way, so it must not change while runs are compared."""
    import ganzoo

    files = [path for folder in ganzoo.__path__ for path in sorted(Path(folder).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def table(columns: list[str], lines: Iterable[list[str]]) -> Iterator[str]:
    """Lines of text in columns as wide as they need to be."""
    everything = [columns, *lines]
    widths = [max(len(line[at]) for line in everything) for at in range(len(columns))]
    for line in everything:
        yield "  ".join(value.ljust(width) for value, width in zip(line, widths)).rstrip()
