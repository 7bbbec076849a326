"""The script of the child process that `compiling.show_compilation` starts. It reads the stderr of its parent, shows
Jittor's compilation as one line, and passes everything else through. A separate script starts in milliseconds."""

import os
import re
import sys
import time

_PROGRESS = re.compile(rb"Compiling Operators\((\d+)/(\d+)\)")
_LINE = re.compile(rb"[^\r\n]*[\r\n]")


class CompilationProgress:
    """Counts the kernels of all batches that Jittor compiles, and updates one line of the terminal."""

    def __init__(self, activity: str) -> None:
        self.activity, self.started, self.is_terminal = activity, time.monotonic(), sys.stderr.isatty()
        self.earlier = self.batch = self.total = 0
        self.shown = False

    def process(self, line: bytes) -> None:
        """Process one line, with its line ending: count progress, and pass anything else through."""
        match = _PROGRESS.search(line)
        if match is None:
            if line.strip():
                self._write(line.decode(errors="replace"))
            return
        done, total = int(match[1]), int(match[2])
        if done < self.batch or total != self.total:
            self.earlier += self.batch
        self.batch, self.total = done, total
        note = f"{self.activity}: compiling kernels, once for this machine"
        if self.is_terminal:
            sys.stderr.write(f"\r{note}: {self.earlier + done}, {time.monotonic() - self.started:.0f} s\033[K")
        elif not self.shown:
            sys.stderr.write(f"{note} ...\n")
        self.shown = True
        sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write(("\r\033[K" if self.shown and self.is_terminal else "") + text)
        sys.stderr.flush()

    def close(self) -> None:
        """Clear the progress line; without a terminal, print the number of kernels instead."""
        if self.shown and self.is_terminal:
            self._write("")
        elif self.shown:
            self._write(
                f"{self.activity}: {self.earlier + self.batch} kernels, {time.monotonic() - self.started:.0f} s\n"
            )


def main() -> None:
    progress = CompilationProgress(sys.argv[1])
    pending = b""
    while chunk := os.read(0, 65536):
        pending += chunk
        end = 0
        for match in _LINE.finditer(pending):
            progress.process(match[0])
            end = match.end()
        pending = pending[end:]
    if pending:
        progress.process(pending)
    progress.close()


if __name__ == "__main__":
    main()
