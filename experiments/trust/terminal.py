"""A command in a terminal of its own, as a shell starts it in the foreground, and the ways in which people end it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from driving import MARK, Session, prepare_child

CTRL_C = b"\x03"


class Terminal(Session):
    """A process that leads the foreground group of a pseudo-terminal. What it shows is kept, and written to a file when
    it has ended."""

    def __init__(self, command: list[str], folder: Path, output: Path, environment: Mapping[str, str] | None = None):
        self.out = self.err = output.with_suffix(".out")
        self.mark, self.shown = uuid.uuid4().hex, bytearray()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, **(environment or {}), MARK: self.mark, "PYTHONFAULTHANDLER": "1"},
            start_new_session=True,
            preexec_fn=_become_foreground,
        )
        os.close(slave)
        self.began = time.monotonic()
        self.open, self._hang_up = True, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while not self._hang_up:
                if select.select([self.master], [], [], 0.02)[0]:
                    self.shown += os.read(self.master, 65536)
        os.close(self.master)

    def press(self, keys: bytes) -> None:
        """Type on the keyboard, if the command is still there."""
        if self._reader.is_alive():
            os.write(self.master, keys)

    def hang_up(self) -> None:
        """Close the window, or lose the connection."""
        self.open, self._hang_up = False, True
        self._reader.join()

    def group(self, number: int) -> None:
        """Send a signal to the whole foreground group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def output(self) -> str:
        return self.shown.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """Keep what was shown."""
        self._reader.join(5)
        self._hang_up = True
        self.out.write_bytes(self.shown)


def _become_foreground() -> None:
    prepare_child(None)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.tcsetpgrp(0, os.getpid())


def press_ctrl_c(terminal: Terminal) -> None:
    terminal.press(CTRL_C)


def time_out(terminal: Terminal) -> None:
    """As `timeout` and schedulers do it: the process first, and at once its group."""
    terminal.send(signal.SIGTERM)
    terminal.group(signal.SIGTERM)


def to_group(number: int) -> Callable[[Terminal], None]:
    return lambda terminal: terminal.group(number)


def to_process(number: int) -> Callable[[Terminal], None]:
    return lambda terminal: terminal.send(number)


# What is done to end a command, and the signal that it ends by.
WAYS: dict[str, tuple[Callable[[Terminal], None], signal.Signals]] = {
    "Ctrl-C": (press_ctrl_c, signal.SIGINT),
    "hang-up": (Terminal.hang_up, signal.SIGHUP),
    "timeout": (time_out, signal.SIGTERM),
}
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    WAYS[f"{_number.name} to the group"] = (to_group(_number), _number)
    WAYS[f"{_number.name} to the process"] = (to_process(_number), _number)
