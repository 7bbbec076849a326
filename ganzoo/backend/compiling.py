"""Compile Jittor's core (which takes minutes, once per machine) and kernels (seconds, once each), with progress.

Jittor compiles inside one long call that blocks Python, and reports progress on stderr. So a child process compiles the
core, and this process reads the child's output. For kernels, a small child process reads our stderr and shows the
progress.
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
from ganzoo.files import atomic_path

_patches: Any = None  # the library compiled from patches.cc, once loaded
_PROGRESS = re.compile(rb"Compiling (\w+?)(?:___hash\w+)?\((\d+)/(\d+)\)")
_CORE_FILES = 150  # in Jittor 1.3.11; need not be exact
_LINKER_FLAGS = ("-l", "-L", "-Wl,", "-shared")
# The definitions that kernels begin with, and the headers that most of them include.
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
# A Ctrl-C reaches every process of the terminal, and if it killed the compiler, the training step would fail. So the
# compiler ignores the signals that this process handles.
#
# The script is called like Jittor's: SCRIPT --cc_path=COMPILER SOURCE FLAG... Jittor's script also edits assembly code,
# but only for kernels with marks in their sources, and these marks are removed (see loops.h).
_SCRIPT = """#!/bin/sh
[ -z "$GANZOO_IGNORED_SIGNALS" ] || trap "" $GANZOO_IGNORED_SIGNALS
compiler=${{2#--cc_path=}}
shift 2
exec "$compiler" -include {header} {linker} "$@"
"""
# The child that compiles the core is killed when this process ends, for whatever reason (1 is PR_SET_PDEATHSIG).
_IMPORT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
from ganzoo.backend import compatibility
with compatibility.patched_import():
    import jittor
print("GANZOO-CORE-READY", flush=True)
try:  # also compile what the parent would compile next, without a progress bar; the parent reports any error
    from ganzoo.backend import patch_and_register
    patch_and_register(jittor, sys.argv[2])
except Exception:
    pass
"""
ANNOUNCE_AFTER = 2.0  # seconds before a message appears


def build_core(device: str) -> None:
    """Compile Jittor's core in a child process, under a progress bar. Of the processes that mpirun started on a
    machine, one compiles and the others wait. Raises BackendError with the reason if compilation fails."""
    from ganzoo.progress_bars import progress_bar  # takes milliseconds, and most commands don't need it

    if not distributed.is_local_rank_zero():
        while not environment.core_is_built(device):
            time.sleep(0.5)
        return
    # Jittor exits with status 0 and "please rerun" when a helper library changed, hence the second attempt.
    for _ in range(2):
        with tempfile.TemporaryFile() as log:
            message = "compiling Jittor, once for this machine"
            bar = progress_bar(total=_CORE_FILES, desc=message, unit="file", leave=False, disable=None)
            if bar.disable:  # stderr is not a terminal
                print(f"{message}: this takes a few minutes", file=sys.stderr, flush=True)
            child = subprocess.Popen(
                [environment.interpreter(), "-c", _IMPORT, str(os.getpid()), device],
                env={**environment.without_mpi(), "log_silent": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches only this process
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
def announce_if_slow(message: str) -> Iterator[None]:
    """Print `message` if the body takes longer than ANNOUNCE_AFTER."""
    timer = threading.Timer(ANNOUNCE_AFTER, lambda: print(f"{message} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child process that leads a session, and the compilers that it runs."""
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
    """Return the most informative line of a long compiler log."""
    # Jittor replaces the error of a library by a guess: that CUDNN is not installed, for instance.
    text = output.decode(errors="replace").partition("During handling of the above exception")[0]
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    errors = [line for line in lines if re.search(r"error|Error|No space|denied|not found", line)]
    return (errors or lines or ["the compiler printed no message."])[-1][:300].rstrip(".") + "."


def speed_up_compiler(jittor: Any) -> None:
    """Make the compilation of kernels four times as fast, if possible. A shell script replaces Jittor's Python script,
    which takes longer to start than the compiler takes to run. Headers are precompiled (three seconds, once per
    cache)."""
    try:
        script = _kernel_compiler(jittor)
    except (OSError, subprocess.CalledProcessError):
        return
    jittor.flags.python_path = f"exec {script}"  # without exec, signals would end Jittor's shell


def _kernel_compiler(jittor: Any) -> Path:
    includes = [word for word in shlex.split(jittor.flags.cc_flags) if not word.startswith(_LINKER_FLAGS)]
    compiler = jittor.flags.cc_path
    # gold, if installed, reads Jittor's large libraries in half the time.
    linker = "-fuse-ld=gold -fno-use-linker-plugin" if shutil.which("ld.gold") else ""
    digest = hashlib.sha256(repr([_HEADERS, _SCRIPT, includes, compiler, linker]).encode()).hexdigest()[:16]
    script = Path(jittor.flags.cache_path) / f"ganzoo-cc-{digest}.sh"
    header = script.with_suffix(".h")
    if not script.exists():
        # Other processes may do the same at this moment: move each complete file into place, the script last.
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
    """Patch faults of Jittor (see patches.cc); this takes a second, once per cache. If the patches can't be compiled,
    kernels are compiled one at a time, which is slower but just as safe."""
    global _patches
    os.environ["GANZOO_IGNORED_SIGNALS"] = " ".join(signals.handled_signals())  # for the compilers' scripts
    try:
        _patches = ctypes.CDLL(str(_build_patches(jittor)))
    except (OSError, subprocess.CalledProcessError) as error:
        jittor.flags.use_parallel_op_compiler = min(jittor.flags.use_parallel_op_compiler, 1)
        print(
            f"warning: Jittor can't be patched, so kernels are compiled one at a time ({reason(error)})",
            file=sys.stderr,
            flush=True,
        )
        return
    _patches.ganzoo_patch()
    _patches.ganzoo_stop_compiling(signals.wakeup_descriptor())


def run_python_passes_early(jittor: Any) -> None:
    """From now on, when an operation such as jt.isfinite is created, run the Python functions that generate its source.
    Jittor itself would call them in the threads that compile, and crash from Python 3.12 on."""
    code = jittor.code

    @functools.wraps(code)
    def code_without_passes(*args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():
            if isinstance(value, str):
                kwargs[name] = _expand_python_passes(jittor, value)
            elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
                kwargs[name] = [_expand_python_passes(jittor, each) for each in value]
        return code(*args, **kwargs)

    jittor.code = code_without_passes


def _expand_python_passes(jittor: Any, source: str) -> str:
    """Return a source in which each "@python.FUNCTION(ARGUMENTS)" and the C++ function after it are replaced by the C++
    functions that FUNCTION generates from them. The generated functions are put into a block that starts with
    `_Pragma`, because Jittor places blocks whose text starts with an underscore outside the kernel's own function."""
    while call := re.search(r"(__inline_static__\s*)?@python\.([\w.]+)\(([^()]*)\)", source):
        end = _end_of_block(source, call.end())
        arguments = tuple(each.strip() for each in call[3].split(",") if each.strip())
        generated = jittor.misc.python_pass_wrapper(call[2], arguments, {"src": source[call.end() : end]})
        block = f'_Pragma("GCC diagnostic push")\nnamespace {{\n{call[1] or ""}{generated}\n}}\n'
        source = source[: call.start()] + block + source[end:]
    return source


def _end_of_block(source: str, start: int) -> int:
    """Return the end of the first block of braces after `start`."""
    depth = 0
    for brace in re.finditer(r"[{}]", source[start:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return start + brace.end()
    return len(source)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the body, signals interrupt neither the compilation of kernels nor the wait for another process that
    compiles. Elsewhere, a signal at such a time raises a RuntimeError, and the computation in progress is lost."""
    with signals.block_signals():
        previous = _patches.ganzoo_compile_to_the_end(1) if _patches else 0
        try:
            yield
        finally:
            if _patches:
                _patches.ganzoo_compile_to_the_end(previous)


def compile_in_background(jittor: Any) -> None:
    """From now on, compile kernels one by one, and let other processes that wait for Jittor's lock go first. Otherwise
    their training would wait until this process has compiled all its kernels."""
    jittor.flags.use_parallel_op_compiler = 0
    if _patches:
        _patches.ganzoo_let_others_go_first()


def unrecognised_convolutions() -> int:
    """Return how many kernels of this process compute a convolution by plain loops, because Jittor did not recognise
    it."""
    return int(_patches.ganzoo_unrecognised_convolutions()) if _patches else 0


def _build_patches(jittor: Any) -> Path:
    sources = [Path(__file__).with_name(name) for name in ("patches.cc", "loops.cc", "loops.h")]
    flags = jittor.compiler.fix_cl_flags(jittor.flags.cc_flags)
    compiled = " ".join(f'"{source}"' for source in sources if source.suffix == ".cc")
    command = f'"{jittor.flags.cc_path}" {compiled} {flags}'
    digest = hashlib.sha256(os.fsencode(command) + b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    library = Path(jittor.flags.cache_path) / f"ganzoo-patches-{digest}.so"
    if not library.exists():
        with atomic_path(library) as temporary:  # other processes may do the same at this moment
            subprocess.run(f'{command} -o "{temporary}"', shell=True, check=True, capture_output=True)
    return library


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    saved_stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    os.close(devnull)
    try:
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)


@contextlib.contextmanager
def show_compilation(activity: str) -> Iterator[None]:
    """Within the body, show kernel compilation as one progress line that starts with `activity`. On ranks other than 0,
    discard stderr."""
    if not distributed.is_rank_zero():
        with _silent():
            yield
        return
    progress_input, our_stderr = os.pipe()
    saved_stderr = os.dup(2)
    progress = subprocess.Popen(
        [sys.executable, "-S", os.path.join(os.path.dirname(__file__), "compilation_progress.py"), activity],
        stdin=progress_input,
        start_new_session=True,  # Ctrl-C reaches only this process
    )
    os.close(progress_input)
    sys.stderr.flush()
    os.dup2(our_stderr, 2)
    os.close(our_stderr)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
        with contextlib.suppress(subprocess.TimeoutExpired):  # another child process may still hold the pipe open
            progress.wait(timeout=5)
