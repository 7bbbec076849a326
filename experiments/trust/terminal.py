"""Runs a command in the foreground of its own terminal, as a shell does, and stops it as users do."""

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

from processes import MARKER, Session, prepare_child

CTRL_C = b"\x03"


class Terminal(Session):
    """A process that leads the foreground group of a pseudo-terminal. Its output is collected, and written to a file
    when it has ended."""

    def __init__(self, command: list[str], folder: Path, output: Path, environment: Mapping[str, str] | None = None):
        self.out = self.err = output.with_suffix(".out")
        self.marker, self.screen = uuid.uuid4().hex, bytearray()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, **(environment or {}), MARKER: self.marker, "PYTHONFAULTHANDLER": "1"},
            start_new_session=True,
            preexec_fn=_become_foreground,
        )
        os.close(slave)
        self.started_at = time.monotonic()
        self.open, self._hang_up = True, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while not self._hang_up:
                if select.select([self.master], [], [], 0.02)[0]:
                    self.screen += os.read(self.master, 65536)
        os.close(self.master)

    def type(self, keys: bytes) -> None:
        """Type on the keyboard, if the command is still running."""
        if self._reader.is_alive():
            os.write(self.master, keys)

    def hang_up(self) -> None:
        """Close the terminal, as when its window is closed or the connection is lost."""
        self.open, self._hang_up = False, True
        self._reader.join()

    def signal_group(self, number: int) -> None:
        """Send a signal to the whole foreground group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def output(self) -> str:
        return self.screen.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """Write the output to the file."""
        self._reader.join(5)
        self._hang_up = True
        self.out.write_bytes(self.screen)


def _become_foreground() -> None:
    prepare_child(None)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.tcsetpgrp(0, os.getpid())


def type_ctrl_c(terminal: Terminal) -> None:
    terminal.type(CTRL_C)


def send_timeout_signals(terminal: Terminal) -> None:
    """Signal the process and then its group, as `timeout` and schedulers do."""
    terminal.send(signal.SIGTERM)
    terminal.signal_group(signal.SIGTERM)


def to_group(number: int) -> Callable[[Terminal], None]:
    return lambda terminal: terminal.signal_group(number)


def to_process(number: int) -> Callable[[Terminal], None]:
    return lambda terminal: terminal.send(number)


# How a command is stopped, and the signal by which it ends.
STOP_METHODS: dict[str, tuple[Callable[[Terminal], None], signal.Signals]] = {
    "Ctrl-C": (type_ctrl_c, signal.SIGINT),
    "hang-up": (Terminal.hang_up, signal.SIGHUP),
    "timeout": (send_timeout_signals, signal.SIGTERM),
}
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    STOP_METHODS[f"{_number.name} to the group"] = (to_group(_number), _number)
    STOP_METHODS[f"{_number.name} to the process"] = (to_process(_number), _number)
