from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ganzoo import backend
from ganzoo.backend import compilation_progress, compiling, environment
from ganzoo.errors import BackendError

PROGRESS_SCRIPT = Path(compilation_progress.__file__)


def watch(text: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROGRESS_SCRIPT), "step 1"], input=text, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_kernels_of_all_batches_are_counted_and_other_lines_pass_through():
    progress = "\nCompiling Operators(3/5) used: 2.32s eta: 1.5s \rCompiling Operators(5/5) used: 4s eta: 0s \r\n"
    shown = watch("a warning\n" + progress + "\nCompiling Operators(2/2) used: 2.1s eta: 0s \r\nlast words")
    assert shown.startswith("a warning\nstep 1: compiling kernels")
    assert "7 kernels" in shown
    assert "last words" in shown
    assert "Compiling Operators" not in shown


def test_nothing_is_printed_if_nothing_is_compiled():
    assert watch("") == ""
    assert watch("only this\n") == "only this\n"


def test_stderr_is_restored_afterwards(capfd):
    with backend.show_compilation("a test"):
        os.write(2, b"within\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "within\nafter\n"


def test_stderr_is_restored_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), backend.show_compilation("a test"):
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_error_in_compiling_the_core_quotes_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(
        compiling, "_IMPORT", "import sys; print('x.cc: fatal error: omp.h: gone'); print('bye'); sys.exit(1)"
    )
    with pytest.raises(BackendError, match=r"omp\.h: gone"):
        compiling.build_core("cpu")


def test_an_error_in_compiling_the_core_quotes_what_jittor_replaces_by_a_guess(monkeypatch):
    program = """
try:
    raise ImportError("library.so: undefined symbol: x")
except ImportError:
    raise RuntimeError("Develop version of CUDNN not found")
"""
    monkeypatch.setattr(compiling, "_IMPORT", program)
    with pytest.raises(BackendError, match="undefined symbol: x"):
        compiling.build_core("cpu")


def test_compilation_is_rerun_when_jittor_asks_for_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    environment.cache_dir().mkdir(parents=True)
    once = tmp_path / "once"
    program = f"import pathlib, sys; p = pathlib.Path({str(once)!r}); again = p.exists(); p.touch()\n"
    monkeypatch.setattr(compiling, "_IMPORT", program + "print('GANZOO-CORE-READY' if again else 'please rerun')")
    compiling.build_core("cpu")
    assert environment.core_is_built("cpu")


def test_missing_gradients_are_found_at_every_call():
    jt = backend.jittor()
    used, unused = jt.ones(3), jt.ones(2)
    for _ in range(2):  # Jittor itself warns only once per name
        gradients, missing = backend.gradients_and_missing((used * used).sum(), [used, unused])
        assert missing == [1]
        assert gradients[0].numpy().tolist() == [2, 2, 2]


def test_seeds_are_reproducible_and_different_seeds_give_different_numbers():
    jt = backend.jittor()

    def draw(*numbers: int):
        backend.seed(*numbers)
        return jt.rand(5).numpy().tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(seed, step)) for seed in range(3) for step in range(3)}) == 9


def test_a_process_cannot_change_its_device():
    backend.start("cpu")
    assert backend.start("auto") == "cpu"
    with pytest.raises(BackendError, match="already runs on cpu"):
        backend.start("cuda")


@pytest.mark.parametrize(("delay", "shown"), [(60.0, ""), (0.05, "compiling it ...\n")])
def test_only_slow_work_is_announced(monkeypatch, capsys, delay, shown):
    monkeypatch.setattr(compiling, "ANNOUNCE_AFTER", delay)
    with compiling.announce_if_slow("compiling it"):
        time.sleep(1.0)
    assert capsys.readouterr().err == shown


def is_hooked(jittor) -> bool:
    """Whether Jittor calls our function to compile kernels."""
    hook = ctypes.c_void_p.in_dll(ctypes.CDLL(jittor.core.__file__), "_ZN6jittor15do_compile_hookE")
    return hook.value is not None


def test_kernels_are_compiled_in_parallel_with_the_patches(jittor):
    assert is_hooked(jittor)
    assert jittor.flags.use_parallel_op_compiler > 1


def test_without_the_patches_kernels_are_compiled_one_at_a_time(jittor, tmp_path, capsys):
    broken = SimpleNamespace(
        flags=SimpleNamespace(use_parallel_op_compiler=16, cc_path="false", cc_flags="", cache_path=str(tmp_path)),
        compiler=jittor.compiler,
    )
    compiling.patch_jittor(broken)
    assert broken.flags.use_parallel_op_compiler == 1
    assert "warning: Jittor can't be patched, so kernels are compiled one at a time" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_kernels_are_compiled_by_our_script(jittor):
    script = Path(jittor.flags.python_path.removeprefix("exec "))
    assert script.name.startswith("ganzoo-cc-")
    assert os.access(script, os.X_OK)
    assert Path(f"{script.with_suffix('.h')}.gch").exists()


def test_without_precompiled_headers_jittors_own_script_is_used(tmp_path):
    flags = SimpleNamespace(cc_path="false", cc_flags="", cache_path=str(tmp_path), python_path="python")
    compiling.speed_up_compiler(SimpleNamespace(flags=flags))
    assert flags.python_path == "python"
    assert not list(tmp_path.iterdir())


SHORT_OF_MEMORY = """
import resource, sys
import numpy as np
from ganzoo import backend
from ganzoo.cli import main
backend.start("cpu")
from ganzoo.training import session

def run_training(*arguments):
    backend.start("cpu")
    jt = backend.jittor()
    jt.ones((2, 2, 2)).sync()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
    np.zeros(10**10) if sys.argv[1] == "numpy" else jt.ones((1000, 1000, 1000)).sync()

session.run_training = run_training
main(["train", "gan", "--data", "pictures"])
"""


@pytest.mark.parametrize("allocator", ["numpy", "jittor"])
def test_lack_of_memory_is_a_one_line_error(pictures, allocator):
    child = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, allocator], capture_output=True, text=True, check=False
    )
    assert child.returncode == 1, child.stderr
    lines = child.stderr.splitlines()  # with empty caches, messages about kernels and matplotlib's fonts come first
    assert [line for line in lines if line.startswith("Error")] == lines[-1:]
    assert lines[-1].startswith("Error: out of memory. Use a smaller --batch")
    assert "Traceback" not in child.stderr


# Compiles as many new kernels as requested, once the parent has written a line.
COMPILE_KERNELS = """
import sys, time
from ganzoo import backend
backend.start("cpu")
jt = backend.jittor()
count, first = map(int, sys.argv[1:3])
if sys.argv[3:] == ["background"]:
    backend.compile_in_background()
x = jt.ones(3)
backend.wait()
print("ready", flush=True)
sys.stdin.readline()
results = [x]
for number in range(first, first + count):  # the number in the source makes each a new kernel
    source = f"for (int i = 0; i < in0->num; i++) out0_p[i] = in0_p[i] + {number};"
    results.append(jt.code(x.shape, x.dtype, [results[-1]], cpu_src=source))
backend.wait()
print(time.time(), flush=True)
"""


def test_results_do_not_depend_on_the_addresses_of_arrays(jittor):
    """Jittor's kernels mistake adjacent arrays for overlapping ones and round differently, so arrays need gaps."""
    rng = np.random.default_rng(0)
    maps = np.abs(rng.normal(size=(1, 256, 3, 3))).astype(np.float32)  # 9,216 bytes, a multiple of Jittor's blocks
    for _ in range(100):
        others = [jittor.array(np.zeros(size, np.float32)).sqr() for size in rng.integers(1, 100_000, 3)]
        x = jittor.array(maps) * 1
        lengths = jittor.sqrt(x.sqr().sum([1], keepdims=True))
        jittor.sync([x, lengths, *others])
        units = x / (lengths + 1e-10)
        units.sync()
        differences = (x / (lengths + 1e-10) - units).sqr().sum([1])
        assert not differences.numpy().any()
        starts = sorted((each.data.ctypes.data, each.data.nbytes) for each in (x, lengths, units, differences))
        assert all(start + size + 64 <= after for (start, size), (after, _) in itertools.pairwise(starts))


def test_training_does_not_wait_for_background_compilation():
    """A process that compiles many kernels in the background lets a process that needs a single one go first."""
    kernels = Path(backend.jittor().flags.cache_path, "jit")
    env = {**os.environ, "rewrite_op": "1"}
    seed = time.time_ns() % 1_000_000_000  # for kernels that were never compiled

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COMPILE_KERNELS, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=env)
        assert process.stdout.readline() == "ready\n"
        return process

    with start(1, seed) as one, start(8, seed + 100, "background") as many:
        before = set(kernels.iterdir())
        many.stdin.write("\n")
        many.stdin.flush()
        while not set(kernels.iterdir()) - before:
            assert many.poll() is None
        one.stdin.write("\n")
        one.stdin.flush()
        finished = [float(process.stdout.readline()) for process in (one, many)]
    assert finished[0] < finished[1]
    for path in set(kernels.iterdir()) - before:
        path.unlink()


def test_python_lines_in_a_source_are_expanded_when_the_operation_is_created(jittor):
    """From Python 3.12 on, a process crashes if Jittor's compilation threads call Python."""
    source = (
        "__inline_static__\n@python.jittor.auto_parallel(1)\n"
        "void f(int n0, int i0, float* y) { y[i0] = 1; }\nf(3, 0, y);"
    )
    expanded = compiling._expand_python_passes(jittor, source)
    assert "@python" not in expanded
    assert "f_inner" in expanded
    assert expanded.endswith("f(3, 0, y);")
    numbers = jittor.array([1.0, float("inf"), float("nan")])
    positions = jittor.searchsorted(jittor.array([1, 3]), jittor.array([2]))
    results = [jittor.isfinite(numbers), jittor.isnan(numbers), positions]
    jittor.sync_all()
    assert [each.numpy().tolist() for each in results] == [[True, False, False], [False, False, True], [1]]
