"""`python -m tests.fuzz [TARGET ...] --minutes 20`: search for inputs that break a parser of ganzoo, guided by
coverage.

Each target runs in its own process, which is limited to 2 GB of memory and 25 s per input. An input that fails is saved
in tests/fuzz/found/TARGET with the traceback, and `TARGET --replay FILE` repeats it. Inputs that reach new code are
saved in tests/fuzz/corpus/TARGET, and the next run starts with them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import importlib.util
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import TARGETS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LIMIT_MB, LIMIT_SECONDS = 2048, 25
MAX_FAILURES = 20  # a target stops after this many
# Packages instrumented for coverage.
TRACED = ["ganzoo", "ganzoo_stylegan", "ganzoo_stargan2", "json", "pickletools", "tomllib", "zipfile"]


@dataclass
class Result:
    target: str
    tried: int = 0
    failures: int = 0
    peak_mb: int = 0

    def line(self) -> str:
        return f"{self.target:12} {self.tried:>10,} inputs  {self.failures:>3} failed  peak {self.peak_mb:,} MB"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(TARGETS)} [default: all]")
    parser.add_argument("--minutes", type=float, default=20.0, help="time for each target")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="check only this input")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := {*given.targets} - {*TARGETS}:
        parser.error(f"there is no target {unknown.pop()!r}; the targets are {', '.join(TARGETS)}")
    targets = given.targets or TARGETS
    if given.replay:
        importlib.import_module(f"tests.fuzz.{targets[0]}").check(given.replay.read_bytes())
        return 0
    if not _has_atheris():
        print("fuzzing needs atheris (pip install -e '.[fuzz]'), which requires Python 3.11 or later on x86-64 Linux.")
        return 2
    if given.child is not None:
        _fuzz(targets[0], given.child)
    results = [_run(target, given.minutes * 60) for target in targets]
    if len(results) > 1:
        print("", *(result.line() for result in results), sep="\n")
    return int(any(result.failures for result in results))


def _has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def _run(target: str, seconds: float) -> Result:
    """Fuzz a target for this many seconds, restarting it after each failure."""
    failed, corpus = HERE / "found" / target, HERE / "corpus" / target
    for folder in (failed, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    _write_initial_corpus(target, corpus)
    result, end = Result(target), time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0 and result.failures < MAX_FAILURES:
        command = [sys.executable, "-m", "tests.fuzz", target, "--child", str(corpus), f"-artifact_prefix={failed}/"]
        command += [f"-max_total_time={left}", f"-rss_limit_mb={LIMIT_MB}", f"-timeout={LIMIT_SECONDS}"]
        command += [
            "-print_final_stats=1",
            "-max_len=20000",
            "-len_control=0",
            "-reduce_inputs=0",
            f"-seed={1 + result.failures}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT)
        result.tried += _stat(done.stderr, "number_of_executed_units")
        result.peak_mb = max(result.peak_mb, _stat(done.stderr, "peak_rss_mb"))
        if re.search(r"^Done \d+ runs", done.stderr, re.MULTILINE):
            # If Jittor crashes at exit, libFuzzer saves an empty input, which is not a failure.
            (failed / f"crash-{hashlib.sha1(b'').hexdigest()}").unlink(missing_ok=True)
        elif done.returncode:
            result.failures += 1
            name = f"log-{hashlib.sha1(done.stderr.encode()).hexdigest()[:12]}.txt"
            (failed / name).write_text(done.stdout[-20_000:] + done.stderr[-20_000:])
            print(f"{target}: an input failed, see {failed / name}", flush=True)
    print(result.line(), flush=True)
    return result


def _stat(output: str, name: str) -> int:
    """Return a statistic that libFuzzer printed: the largest value, because subprocesses may print their own."""
    return max(map(int, re.findall(rf"stat::{name}:\s*(\d+)", output)), default=0)


def _write_initial_corpus(target: str, corpus: Path) -> None:
    """Write the inputs that a run starts with. The first byte of an input says what the rest is: 0 means a file, 1 or 2
    means edits of a seed (see edits.py)."""
    code = f"from tests.fuzz.{target} import seeds; print([seed.hex() for seed in seeds()], flush=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    files = [bytes.fromhex(seed) for seed in ast.literal_eval(done.stdout.splitlines()[-1])]
    rng = random.Random(0)
    inputs = [b"\0" + file for file in files] + [bytes([1 + n % 2]) + rng.randbytes(40) for n in range(100)]
    for number, data in enumerate(inputs):
        (corpus / f"seed-{number:03d}").write_bytes(data)


def _fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz in this process. Does not return."""
    import atheris

    with atheris.instrument_imports(include=TRACED):
        check = importlib.import_module(f"tests.fuzz.{target}").check
    atheris.Setup([sys.argv[0], *arguments], check)
    atheris.Fuzz()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
