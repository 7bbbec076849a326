"""Everything that is odd about Jittor, in one place. Nobody else reads its environment, its flags or its caches.

`start` prepares the environment, imports Jittor once, and undoes what the import does to the process. The rest
of ganzoo, and plugins, reach Jittor as `ganzoo.jt`.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ganzoo import distributed
from ganzoo.backend import checks, compiling, environment, handle, operations
from ganzoo.backend.compiling import (
    announced_if_slow,
    build_core,
    call_python_early,
    patch_jittor,
    speed_up_compiler,
    uninterrupted,
    unrecognised_convolutions,
    watch_kernels,
)
from ganzoo.backend.handle import device, jittor, run_pending, started, wait
from ganzoo.backend.process import preserve_process
from ganzoo.errors import BackendError

__all__ = [
    "choice",
    "compile_considerately",
    "describe",
    "device",
    "all_finite",
    "gradients",
    "gradients_and_missing",
    "gpu_memory",
    "jittor",
    "memory",
    "on_host",
    "run_pending",
    "seed",
    "start",
    "started",
    "uninterrupted",
    "unrecognised_convolutions",
    "wait",
    "watch_kernels",
]

CONVOLUTIONS = 10_000  # shapes of them whose fastest algorithm cuDNN remembers
WORKSPACE = 1 << 30  # bytes that an algorithm may take beside its arrays

_names = itertools.count()
_choice: environment.Choice | None = None
_computes_with = "fp32"


def start(wanted: str = "auto", precision: str = "tf32") -> str:
    """Import Jittor for `wanted` ('auto', 'cpu' or 'cuda') and return the device in use; later calls are free.

    On CUDA convolutions compute with `precision`: 'tf32', 'fp32', or 'amp' (bfloat16, summed up in float32); the CPU
    always computes in float32. The first call on a machine compiles Jittor for minutes, under a progress bar.
    BackendError says in one sentence what stands in the way. A process keeps the device and the precision it started
    with.
    """
    global _choice, _computes_with
    if _choice is not None:
        if wanted not in ("auto", _choice.device):
            raise BackendError(
                f"this process already runs on {_choice.device}; start another one for --device {wanted}."
            )
        return _choice.device
    chosen = environment.choose_device(wanted, precision)
    checks.require_usable(chosen.device)
    environment.require_precision(chosen, precision)
    environment.prepare(chosen, precision)
    if not environment.core_is_built(chosen.device):
        build_core(chosen.device)
    try:
        with preserve_process():
            import jittor as imported

            if chosen.device == "cuda":
                _use_cuda(imported)
                _computes_with, operations.autocast_enabled = precision, precision == "amp"
            with announced_if_slow("compiling ganzoo's own operations, once for this machine"):
                adapt(imported, chosen.device)
    except BackendError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"Jittor can't be imported ({reason}). Run `ganzoo doctor` to see why.") from error
    # Jittor's libraries flush the smallest numbers to zero, and NumPy tells everybody who asks for their limits.
    warnings.filterwarnings("ignore", "The value of the smallest subnormal", UserWarning)
    handle.set_jittor(imported, chosen.device)
    _choice = chosen
    return chosen.device


def adapt(imported: Any, device: str) -> None:
    """Mend what is wrong in a Jittor that was just imported, and give it our operations. What that takes is compiled
    once for each cache."""
    patch_jittor(imported)
    call_python_early(imported)
    if device == "cpu":
        speed_up_compiler(imported)
        operations.load(imported)


def _use_cuda(imported: Any) -> None:
    if not imported.has_cuda:
        raise BackendError("--device cuda: Jittor was built without a usable GPU. Run `ganzoo doctor`.")
    imported.flags.use_cuda = 1
    # Jittor forgets to try algorithms after so many shapes of convolutions, and progressive training has more.
    imported.cudnn.set_algorithm_cache_size(CONVOLUTIONS)
    # By default an algorithm may take a quarter of the GPU, which Jittor keeps for ever.
    imported.cudnn.set_max_workspace_ratio(WORKSPACE / imported.core.get_mem_info().total_cuda_ram)
    # Otherwise every array that is made from NumPy's waits until the GPU has computed all that came before it.
    imported.flags.use_cuda_host_allocator = 0


def compile_considerately() -> None:
    """See `compiling.compile_considerately`; for a process that works ahead for another."""
    compiling.compile_considerately(jittor())


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Within the body the CPU computes, and draws random numbers: a GPU draws others."""
    jt = jittor()
    if device() == "cpu":
        yield
        return
    run_pending()
    with jt.flag_scope(use_cuda=0):
        yield
        run_pending()


def choice() -> str:
    """The device, why it is that one, and what it computes with, in a few words for the user."""
    chosen = _chosen()
    return f"{'CUDA' if chosen.device == 'cuda' else 'CPU'}, {_precision()} ({chosen.because})"


def _chosen() -> environment.Choice:
    device()  # BackendError if there is none yet
    assert _choice is not None
    return _choice


def _precision() -> str:
    return {"tf32": "TF32", "fp32": "float32", "amp": "bfloat16 and float32"}[_computes_with]


def describe() -> dict[str, Any]:
    """What the last digits of every number depend on. On the CPU the same seed gives the same bits where all of it is
    the same; on a GPU it does not, as cuDNN chooses algorithms by their time and threads add up in any order."""
    import numpy as np

    chosen = _chosen()
    gpu = {"gpu": str(chosen.gpu), "cuda": str(chosen.toolkit)} if chosen.gpu else {}
    return {
        "device": chosen.device,
        **gpu,
        "precision": _precision(),
        "ranks": distributed.world_size(),
        "processor": environment.processor(),
        "threads": environment.threads(),
        "jittor": jittor().__version__,
        "numpy": np.__version__,
    }


def seed(*words: int) -> None:
    """Seed Jittor's generator from any number of integers, well mixed. Pending random operations run first,
    because Jittor draws when an operation runs and not when it is written."""
    import numpy as np

    run_pending()
    mixed = int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF
    # set_seed and not set_global_seed: Python's and NumPy's global generators belong to the user.
    jittor().set_seed(mixed)


def gradients(loss: Any, weights: list[Any]) -> list[Any]:
    """The gradient of a scalar `loss` with respect to each weight; zeros where it does not depend on one."""
    return list(jittor().grad(loss, weights))


def gradients_and_missing(loss: Any, weights: list[Any]) -> tuple[list[Any], list[int]]:
    """As `gradients`, with the positions of the weights that the loss does not depend on.

    Jittor only writes a warning for those, once per name; so each weight gets a name never used before, and the
    warnings are read. Slower than `gradients`, but the graph is the same, so no other kernels are compiled.
    """
    jt = jittor()
    for weight in weights:
        weight.name(f"ganzoo.weight{next(_names)}")
    with jt.log_capture_scope(log_silent=1) as logs:
        found = gradients(loss, weights)
    warned = (re.match(r"grads\[(\d+)\] .* doesn't have gradient", entry["msg"]) for entry in logs)
    return found, [int(match[1]) for match in warned if match]


def all_finite(numbers: Iterable[Any]) -> Any:
    """Whether one-element Vars are all finite: a float32 Var (1,) that is 1 or 0. The host does not wait for it.

    Jittor compiles kernels with -Ofast, where `x != x`, `x * 0` and comparisons with infinity say what they like; only
    its `isfinite`, and operations of our own, are compiled without.
    """
    if operations.available():
        all_finite = operations.all_finite([number.detach() for number in numbers])
    else:  # added up, so two infinities can't hide each other
        all_finite = jittor().isfinite(sum(numbers).reshape((1,))).float32()
    return all_finite.stop_grad()  # or Jittor keeps whatever was computed with it


def gpu_memory() -> int | None:
    """Memory of the GPU that Jittor has taken, in bytes; None on the CPU."""
    return int(jittor().core.get_mem_info().total_cuda_used) if device() == "cuda" else None


def memory() -> int:
    """Resident memory of this process in bytes (0 where the system doesn't tell)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * environment.PAGE_SIZE
    except OSError:
        return 0
