"""Progress while Jittor compiles: its core (minutes, once per machine) and its kernels (seconds each, once).

Jittor compiles inside one long call that holds Python still, and reports on stderr. So the core is compiled in a
child process whose output is read here, and kernels are watched by a small child that reads our stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganzoo import distributed, signals
from ganzoo.backend import environment
from ganzoo.errors import BackendError, reason

_mended: Any = None  # the library of mends.cc, once it is loaded
_PROGRESS = re.compile(rb"Compiling (\w+?)(?:___hash\w+)?\((\d+)/(\d+)\)")
_CORE_FILES = 150  # as counted in Jittor 1.3.11; a little off does no harm
_OF_LINKING = ("-l", "-L", "-Wl,", "-shared")
# What most kernels include, after the lines that they begin with.
_HEADERS = """
#define JIT 1
#define JIT_cpu 1
#include <algorithm>
#include <assert.h>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>
#include "executor.h"
#include "fused_op.h"
#include "var.h"
#include "ops/array_op.h"
#include "ops/binary_op.h"
#include "ops/broadcast_to_op.h"
#include "ops/code_op.h"
#include "ops/index_op.h"
#include "ops/op_register.h"
#include "ops/reduce_op.h"
#include "ops/reindex_op.h"
#include "ops/reindex_reduce_op.h"
#include "ops/ternary_op.h"
#include "ops/unary_op.h"
"""
# A Ctrl-C reaches every process of a terminal, and a kernel that is not compiled is an error in a step: the compiler
# takes no signal that this process survives.
#
# Called as Jittor's script is, with SCRIPT --cc_path=COMPILER SOURCE FLAG... What that script does to assembler code is
# for kernels with marks in their sources, and those are taken away (see loops.h).
_SCRIPT = """#!/bin/sh
[ -z "$GANZOO_SURVIVED" ] || trap "" $GANZOO_SURVIVED
compiler=${{2#--cc_path=}}
shift 2
exec "$compiler" -include {header} {linker} "$@"
"""
# The child that compiles the core ends with this process, however that ends (prctl's PR_SET_PDEATHSIG is 1).
_IMPORT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
import jittor
print("GANZOO-CORE-READY", flush=True)
try:  # what our process would compile next, without a bar; it tells what is wrong with that
    from ganzoo.backend import adapt
    adapt(jittor, sys.argv[2])
except Exception:
    pass
"""
PATIENCE = 2.0  # seconds of silence


def build_core(device: str) -> None:
    """Compile Jittor's core in a child process, under a progress bar. BackendError with the reason if it fails. Of the
    processes that mpirun started on a machine one compiles, and the others wait."""
    from tqdm import tqdm

    if not distributed.is_local_rank_zero():
        while not environment.core_is_built(device):
            time.sleep(0.5)
        return
    # Jittor ends with status 0 and "please rerun" when a helper library changed: hence the second attempt.
    for _ in range(2):
        with tempfile.TemporaryFile() as log:
            what = "compiling Jittor, once for this machine"
            bar = tqdm(total=_CORE_FILES, desc=what, unit="file", leave=False, disable=None)
            if bar.disable:  # no terminal
                print(f"{what}: this takes some minutes", file=sys.stderr, flush=True)
            child = subprocess.Popen(
                [environment.interpreter(), "-c", _IMPORT, str(os.getpid()), device],
                env={**environment.outside_mpi(), "log_silent": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C goes to us alone
            )
            try:
                _follow(child, bar, log)
                child.wait()
            finally:
                bar.close()
                _end_group(child)
            log.seek(0)
            output = log.read()
        if b"GANZOO-CORE-READY" in output:
            environment.mark_built(device)
            return
        if child.returncode != 0:
            break
    raise BackendError(f"Jittor could not be compiled: {_reason(output)} Run `ganzoo doctor` to see what is missing.")


@contextlib.contextmanager
def announced_if_slow(what: str) -> Iterator[None]:
    """Print `what` if the body takes longer than PATIENCE."""
    timer = threading.Timer(PATIENCE, lambda: print(f"{what} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that leads a session, with the compilers that it runs."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _follow(child: Any, bar: Any, log: Any) -> None:
    tail = b""
    while chunk := child.stdout.read1(4096):
        log.write(chunk)
        tail = (tail + chunk)[-4096:]
        found = _PROGRESS.findall(tail)
        if found:
            name, done, total = found[-1]
            if name == b"jittor_core":
                bar.total = int(total)
                bar.n = int(done)
            else:
                bar.set_postfix_str(f"then {name.decode()[:12]} {int(done)}/{int(total)}", refresh=False)
            bar.refresh()


def _reason(output: bytes) -> str:
    """The line of a long compiler log that says most."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", output.decode(errors="replace")) if line.strip()]
    telling = [line for line in lines if re.search(r"error|Error|No space|denied|not found", line)]
    return (telling or lines or ["it ended without a word."])[-1][:300].rstrip(".") + "."


def speed_up_compiler(jittor: Any) -> None:
    """Let kernels be compiled four times as fast, where that can be: by a shell script and not by Jittor's Python
    script, which takes longer to start than the compiler to run, and with headers that are compiled already (three
    seconds, once for each cache)."""
    try:
        script = _kernel_compiler(jittor)
    except (OSError, subprocess.CalledProcessError):
        return
    jittor.flags.python_path = f"exec {script}"  # or the shell that Jittor starts it by would take signals


def _kernel_compiler(jittor: Any) -> Path:
    includes = [word for word in shlex.split(jittor.flags.cc_flags) if not word.startswith(_OF_LINKING)]
    compiler = jittor.flags.cc_path
    # The linker that reads Jittor's large libraries in half the time, where there is one.
    linker = "-fuse-ld=gold -fno-use-linker-plugin" if shutil.which("ld.gold") else ""
    digest = hashlib.sha256(repr([_HEADERS, _SCRIPT, includes, compiler, linker]).encode()).hexdigest()[:16]
    script = Path(jittor.flags.cache_path) / f"ganzoo-cc-{digest}.sh"
    header = script.with_suffix(".h")
    if not script.exists():
        # Others may start at the same time: the script appears last, and each file whole or not at all.
        with tempfile.TemporaryDirectory(dir=script.parent) as folder:
            copies = [Path(folder) / path.name for path in (header, Path(f"{header}.gch"), script)]
            copies[0].write_text(_HEADERS)
            subprocess.run(
                [compiler, *includes, "-x", "c++-header", str(copies[0]), "-o", str(copies[1])],
                check=True,
                capture_output=True,
            )
            text = _SCRIPT.format(header=shlex.quote(str(header)), linker=linker)
            copies[2].write_bytes(os.fsencode(text))
            copies[2].chmod(0o755)
            for copy in copies:
                copy.replace(script.with_name(copy.name))
    return script


def patch_jittor(jittor: Any) -> None:
    """Mend faults of Jittor's (see mends.cc); once for each cache this takes a second. Where that can't be compiled,
    kernels are compiled one at a time, slower, but as safe."""
    global _mended
    os.environ["GANZOO_SURVIVED"] = " ".join(signals.survived())  # for the scripts that call compilers
    try:
        _mended = ctypes.CDLL(str(_mends(jittor)))
    except (OSError, subprocess.CalledProcessError) as error:
        jittor.flags.use_parallel_op_compiler = min(jittor.flags.use_parallel_op_compiler, 1)
        print(
            f"warning: faults of Jittor's can't be mended, so kernels are compiled one at a time ({reason(error)})",
            file=sys.stderr,
            flush=True,
        )
        return
    _mended.ganzoo_mend()
    _mended.ganzoo_stop_compiling(signals.arrivals())


def call_python_early(jittor: Any) -> None:
    """Let what Python writes of an operation's source, as of jt.isfinite's, be written when the operation is made.
    Jittor calls Python in the threads that compile, which dies from Python 3.12 on."""
    code = jittor.code

    @functools.wraps(code)
    def written(*arguments: Any, **named: Any) -> Any:
        for name, value in named.items():
            if isinstance(value, str):
                named[name] = _written_by_python(jittor, value)
            elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
                named[name] = [_written_by_python(jittor, each) for each in value]
        return code(*arguments, **named)

    jittor.code = written


def _written_by_python(jittor: Any, source: str) -> str:
    """A source with each "@python.FUNCTION(ARGUMENTS)" and the C++ function after it replaced by what FUNCTION makes of
    the two: several functions, of which Jittor takes those for functions that begin with an underscore."""
    while call := re.search(r"(__inline_static__\s*)?@python\.([\w.]+)\(([^()]*)\)", source):
        end = _end_of_block(source, call.end())
        arguments = tuple(each.strip() for each in call[3].split(",") if each.strip())
        made = jittor.misc.python_pass_wrapper(call[2], arguments, {"src": source[call.end() : end]})
        block = f'_Pragma("GCC diagnostic push")\nnamespace {{\n{call[1] or ""}{made}\n}}\n'
        source = source[: call.start()] + block + source[end:]
    return source


def _end_of_block(source: str, start: int) -> int:
    """Where the braces that open after `start` are closed."""
    depth = 0
    for brace in re.finditer(r"[{}]", source[start:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return start + brace.end()
    return len(source)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the body a signal stops neither the compilation of kernels nor the wait for another process that compiles;
    elsewhere both end in a RuntimeError, and whatever was being computed is lost."""
    with signals.blocked():
        former = _mended.ganzoo_compile_to_the_end(1) if _mended else 0
        try:
            yield
        finally:
            if _mended:
                _mended.ganzoo_compile_to_the_end(former)


def compile_considerately(jittor: Any) -> None:
    """Compile kernels one by one from now on, and let another process that waits for Jittor's lock go first: training
    would stand still until all kernels of this process are compiled."""
    jittor.flags.use_parallel_op_compiler = 0
    if _mended:
        _mended.ganzoo_let_others_go_first()


def unrecognised_convolutions() -> int:
    """How many kernels of this process compute a convolution by plain loops, because Jittor did not recognise it."""
    return int(_mended.ganzoo_unrecognised_convolutions()) if _mended else 0


def _mends(jittor: Any) -> Path:
    sources = [Path(__file__).with_name(name) for name in ("mends.cc", "loops.cc", "loops.h")]
    flags = jittor.compiler.fix_cl_flags(jittor.flags.cc_flags)
    compiled = " ".join(f'"{source}"' for source in sources if source.suffix == ".cc")
    command = f'"{jittor.flags.cc_path}" {compiled} {flags}'
    digest = hashlib.sha256(os.fsencode(command) + b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    library = Path(jittor.flags.cache_path) / f"ganzoo-mends-{digest}.so"
    if not library.exists():
        # Others may start at the same time: the library appears whole or not at all.
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / library.name
            subprocess.run(f'{command} -o "{built}"', shell=True, check=True, capture_output=True)
            built.replace(library)
    return library


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def watch_kernels(what: str) -> Iterator[None]:
    """While the body runs, show kernel compilation as one line of progress that starts with `what`; on rank 0 only."""
    if not distributed.is_rank_zero():
        with _silent():
            yield
        return
    watcher_input, our_stderr = os.pipe()
    kept = os.dup(2)
    watcher = subprocess.Popen(
        [sys.executable, "-S", os.path.join(os.path.dirname(__file__), "kernel_watcher.py"), what],
        stdin=watcher_input,
        start_new_session=True,  # Ctrl-C goes to us alone
    )
    os.close(watcher_input)
    sys.stderr.flush()
    os.dup2(our_stderr, 2)
    os.close(our_stderr)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child of ours may still hold the pipe
            watcher.wait(timeout=5)
