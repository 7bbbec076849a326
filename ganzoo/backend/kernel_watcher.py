"""A child of `compiling.watch_kernels`: reads what the parent writes to stderr and shows Jittor's compilation in
one line. Everything else passes through. A script of its own, so that it starts in milliseconds."""

import os
import re
import sys
import time

_PROGRESS = re.compile(rb"\n?Compiling Operators\((\d+)/(\d+)\) used: +\S+ eta: +\S+ ")


def main() -> None:
    what, started = sys.argv[1], time.monotonic()
    compiled_before = batch_done = 0
    shown = False
    live = sys.stderr.isatty()
    while chunk := os.read(0, 65536):
        for done, _ in _PROGRESS.findall(chunk):
            if int(done) < batch_done:
                compiled_before += batch_done
            batch_done = int(done)
            if not live and not shown:
                sys.stderr.write(f"{what}: compiling kernels (once for this machine) ...\n")
            elif live:
                seconds = time.monotonic() - started
                sys.stderr.write(
                    f"\r{what}: compiling kernels (once for this machine): {compiled_before + batch_done}, {seconds:.0f} s "
                )
            shown = True
        rest = _PROGRESS.sub(b"", chunk).strip(b"\r\n ")
        if rest:
            sys.stderr.write(("\n" if shown and live else "") + rest.decode(errors="replace") + "\n")
        sys.stderr.flush()
    if shown and live:
        sys.stderr.write("\r\033[K")
    elif shown:
        seconds = time.monotonic() - started
        sys.stderr.write(f"{what}: {compiled_before + batch_done} kernels compiled in {seconds:.0f} s\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
