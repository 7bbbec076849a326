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
from ganzoo.backend import compiling, environment, kernel_watcher
from ganzoo.errors import BackendError

WATCHER = Path(kernel_watcher.__file__)


def watch(text: str) -> str:
    answer = subprocess.run(
        [sys.executable, str(WATCHER), "step 1"], input=text, capture_output=True, text=True, check=True
    )
    return answer.stderr


def test_kernels_are_counted_over_batches_and_other_lines_pass():
    progress = "\nCompiling Operators(3/5) used: 2.32s eta: 1.5s \rCompiling Operators(5/5) used: 4s eta: 0s \r\n"
    seen = watch("a warning\n" + progress + "\nCompiling Operators(2/2) used: 2.1s eta: 0s \r\nlast words")
    assert seen.startswith("a warning\nstep 1: compiling kernels")
    assert "7 kernels" in seen
    assert "last words" in seen
    assert "Compiling Operators" not in seen


def test_no_output_when_nothing_is_compiled():
    assert watch("") == ""
    assert watch("only this\n") == "only this\n"


def test_stderr_is_itself_again_afterwards(capfd):
    with backend.watch_kernels("a test"):
        os.write(2, b"within\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "within\nafter\n"


def test_stderr_is_itself_again_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), backend.watch_kernels("a test"):
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_a_core_that_cannot_be_compiled_gives_the_compilers_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(
        compiling, "_IMPORT", "import sys; print('x.cc: fatal error: omp.h: gone'); print('bye'); sys.exit(1)"
    )
    with pytest.raises(BackendError, match=r"omp\.h: gone"):
        compiling.build_core("cpu")


def test_compilation_is_rerun_when_jittor_asks_for_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    environment.cache_dir().mkdir(parents=True)
    once = tmp_path / "once"
    program = f"import pathlib, sys; p = pathlib.Path({str(once)!r}); again = p.exists(); p.touch()\n"
    monkeypatch.setattr(compiling, "_IMPORT", program + "print('GANZOO-CORE-READY' if again else 'please rerun')")
    compiling.build_core("cpu")
    assert environment.core_is_built("cpu")


def test_missing_gradients_are_found_each_time():
    jt = backend.jittor()
    used, unused = jt.ones(3), jt.ones(2)
    for _ in range(2):  # Jittor itself warns once per name
        gradients, missing = backend.gradients_and_missing((used * used).sum(), [used, unused])
        assert missing == [1]
        assert gradients[0].numpy().tolist() == [2, 2, 2]


def test_a_seed_repeats_jittors_numbers_and_mixes_well():
    jt = backend.jittor()

    def draw(*words: int):
        backend.seed(*words)
        return jt.rand(5).numpy().tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(seed, step)) for seed in range(3) for step in range(3)}) == 9


def test_one_process_keeps_its_device():
    backend.start("cpu")
    assert backend.start("auto") == "cpu"
    with pytest.raises(BackendError, match="already runs on cpu"):
        backend.start("cuda")


@pytest.mark.parametrize(("patience", "shown"), [(60.0, ""), (0.05, "compiling it ...\n")])
def test_only_slow_work_is_announced(monkeypatch, capsys, patience, shown):
    monkeypatch.setattr(compiling, "ANNOUNCE_AFTER", patience)
    with compiling.announce_if_slow("compiling it"):
        time.sleep(1.0)
    assert capsys.readouterr().err == shown


def hooked(jittor) -> bool:
    """Whether Jittor lets something else compile for it."""
    hook = ctypes.c_void_p.in_dll(ctypes.CDLL(jittor.core.__file__), "_ZN6jittor15do_compile_hookE")
    return hook.value is not None


def test_jittors_threads_optimise_one_at_a_time(jittor):
    assert hooked(jittor)
    assert jittor.flags.use_parallel_op_compiler > 1


def test_without_the_library_kernels_are_compiled_one_at_a_time(jittor, tmp_path, capsys):
    broken = SimpleNamespace(
        flags=SimpleNamespace(use_parallel_op_compiler=16, cc_path="false", cc_flags="", cache_path=str(tmp_path)),
        compiler=jittor.compiler,
    )
    compiling.patch_jittor(broken)
    assert broken.flags.use_parallel_op_compiler == 1
    assert "warning: Jittor can't be patched, so kernels are compiled one at a time" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_kernels_are_compiled_by_a_script_of_ours(jittor):
    script = Path(jittor.flags.python_path.removeprefix("exec "))
    assert script.name.startswith("ganzoo-cc-")
    assert os.access(script, os.X_OK)
    assert Path(f"{script.with_suffix('.h')}.gch").exists()


def test_without_compiled_headers_kernels_are_compiled_as_jittor_does(tmp_path):
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


@pytest.mark.parametrize("whose", ["numpy", "jittor"])
def test_too_little_memory_is_one_line(pictures, whose):
    child = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY, whose], capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    said = child.stderr.splitlines()  # in a new home kernels, and matplotlib's list of fonts, come first
    assert [line for line in said if line.startswith("Error")] == said[-1:]
    assert said[-1].startswith("Error: out of memory. Use a smaller --batch")
    assert "Traceback" not in child.stderr


# Kernels of its own, as many as are asked for, after a line from its parent.
COMPILES = """
import sys, time
from ganzoo import backend
backend.start("cpu")
jt = backend.jittor()
count, first = map(int, sys.argv[1:3])
if sys.argv[3:] == ["considerately"]:
    backend.compile_in_background()
x = jt.ones(3)
backend.wait()
print("ready", flush=True)
sys.stdin.readline()
made = [x]
for number in range(first, first + count):  # each a kernel of its own: its source names the number
    source = f"for (int i = 0; i < in0->num; i++) out0_p[i] = in0_p[i] + {number};"
    made.append(jt.code(x.shape, x.dtype, [made[-1]], cpu_src=source))
backend.wait()
print(time.time(), flush=True)
"""


def test_results_do_not_depend_on_where_arrays_lie(jittor):
    """Arrays side by side look to a kernel as if they overlapped, and it then rounded otherwise."""
    rng = np.random.default_rng(0)
    maps = np.abs(rng.normal(size=(1, 256, 3, 3))).astype(np.float32)  # 9,216 bytes, a multiple of Jittor's blocks
    for _ in range(100):
        others = [jittor.array(np.zeros(size, np.float32)).sqr() for size in rng.integers(1, 100_000, 3)]
        x = jittor.array(maps) * 1
        lengths = jittor.sqrt(x.sqr().sum([1], keepdims=True))
        jittor.sync([x, lengths, *others])
        units = x / (lengths + 1e-10)
        units.sync()
        apart = (x / (lengths + 1e-10) - units).sqr().sum([1])
        assert not apart.numpy().any()
        starts = sorted((each.data.ctypes.data, each.data.nbytes) for each in (x, lengths, units, apart))
        assert all(start + size + 64 <= after for (start, size), (after, _) in itertools.pairwise(starts))


def test_training_does_not_wait_for_background_compilation():
    """A process that works ahead lets one that needs a single kernel go first."""
    kernels = Path(backend.jittor().flags.cache_path, "jit")
    environment_ = {**os.environ, "rewrite_op": "1"}
    seed = time.time_ns() % 1_000_000_000  # kernels that were never compiled

    def started(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COMPILES, *map(str, words)]
        process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment_)
        assert process.stdout.readline() == "ready\n"
        return process

    with started(1, seed) as one, started(8, seed + 100, "considerately") as many:
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


def test_python_passes_of_a_source_run_when_the_operation_is_created(jittor):
    """From Python 3.12 on a process died that had Jittor's threads call Python."""
    source = (
        "__inline_static__\n@python.jittor.auto_parallel(1)\n"
        "void f(int n0, int i0, float* y) { y[i0] = 1; }\nf(3, 0, y);"
    )
    written = compiling._expand_python_passes(jittor, source)
    assert "@python" not in written
    assert "f_inner" in written
    assert written.endswith("f(3, 0, y);")
    numbers = jittor.array([1.0, float("inf"), float("nan")])
    found = jittor.searchsorted(jittor.array([1, 3]), jittor.array([2]))
    results = [jittor.isfinite(numbers), jittor.isnan(numbers), found]
    jittor.sync_all()
    assert [each.numpy().tolist() for each in results] == [[True, False, False], [False, False, True], [1]]
