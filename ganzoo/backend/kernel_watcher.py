"""A child of `compiling.watch_kernels`: reads what the parent writes to stderr and shows Jittor's compilation in
one line. Everything else passes through. A script of its own, so that it starts in milliseconds."""

import os
import re
import sys
import time

_PROGRESS = re.compile(rb"Compiling Operators\((\d+)/(\d+)\)")
_LINE = re.compile(rb"[^\r\n]*[\r\n]")


class Watcher:
    """Counts kernels over all batches that Jittor compiles, and keeps one line of the terminal up to date."""

    def __init__(self, what: str) -> None:
        self.what, self.started, self.live = what, time.monotonic(), sys.stderr.isatty()
        self.earlier = self.batch = self.total = 0
        self.shown = False

    def take(self, line: bytes) -> None:
        """One line, with its end: progress is counted, anything else passed through."""
        match = _PROGRESS.search(line)
        if match is None:
            if line.strip():
                self._write(line.decode(errors="replace"))
            return
        done, total = int(match[1]), int(match[2])
        if done < self.batch or total != self.total:
            self.earlier += self.batch
        self.batch, self.total = done, total
        note = f"{self.what}: compiling kernels, once for this machine"
        if self.live:
            sys.stderr.write(f"\r{note}: {self.earlier + done}, {time.monotonic() - self.started:.0f} s\033[K")
        elif not self.shown:
            sys.stderr.write(f"{note} ...\n")
        self.shown = True
        sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write(("\r\033[K" if self.shown and self.live else "") + text)
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line down; where there is no terminal, say how many kernels there were."""
        if self.shown and self.live:
            self._write("")
        elif self.shown:
            self._write(f"{self.what}: {self.earlier + self.batch} kernels, {time.monotonic() - self.started:.0f} s\n")


def main() -> None:
    watcher = Watcher(sys.argv[1])
    pending = b""
    while chunk := os.read(0, 65536):
        pending += chunk
        end = 0
        for match in _LINE.finditer(pending):
            watcher.take(match[0])
            end = match.end()
        pending = pending[end:]
    if pending:
        watcher.take(pending)
    watcher.close()


if __name__ == "__main__":
    main()
