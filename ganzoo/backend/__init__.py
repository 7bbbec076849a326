"""Everything odd about Jittor, in one place. No other package reads Jittor's environment variables, flags or caches.

`start` prepares the environment, imports Jittor once, and undoes the side effects of the import on the process. The
rest of ganzoo, and plugins, reach Jittor as `ganzoo.jt`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ganzoo import distributed
from ganzoo.backend import checks, compatibility, compiling, environment, handle, operations
from ganzoo.backend.compiling import (
    announce_if_slow,
    build_core,
    patch_jittor,
    run_python_passes_early,
    show_compilation,
    speed_up_compiler,
    uninterrupted,
    unrecognised_convolutions,
)
from ganzoo.backend.empty_arrays import refuse_empty_reductions
from ganzoo.backend.handle import device, exclusive, jittor, run_pending, started, wait
from ganzoo.backend.process import let_threads_start, preserve_process
from ganzoo.errors import BackendError

__all__ = [
    "describe_device",
    "compile_in_background",
    "describe_environment",
    "device",
    "exclusive",
    "all_finite",
    "gradients",
    "gradients_and_missing",
    "gpu_memory",
    "jittor",
    "resident_memory",
    "on_host",
    "run_pending",
    "seed",
    "start",
    "started",
    "uninterrupted",
    "unrecognised_convolutions",
    "wait",
    "show_compilation",
]

CONVOLUTIONS = 10_000  # maximum number of convolution shapes for which Jittor benchmarks cuDNN's algorithms
WORKSPACE = 1 << 30  # maximum workspace of a convolution algorithm, in bytes

_name_numbers = itertools.count()
_choice: environment.DeviceChoice | None = None
_active_precision = "fp32"


def start(device: str = "auto", precision: str = "tf32") -> str:
    """Import Jittor for `device` ('auto', 'cpu' or 'cuda') and return the device in use; later calls return at once.

    Convolutions and matrix products use `precision`: 'tf32' (TF32 on CUDA, float32 on the CPU), 'fp32', or 'amp'
    (bfloat16 with float32 accumulation, on newer GPUs and on CPUs with AMX). The first call on a machine compiles
    Jittor, which takes minutes and shows a progress bar. The device and precision of a process can't be changed later.
    Raises BackendError with the reason, in one sentence, if Jittor can't start or the precision is unsupported.
    """
    global _choice, _active_precision
    if _choice is not None:
        if device not in ("auto", _choice.device):
            raise BackendError(f"this process already runs on {_choice.device}; start a new process to use {device}.")
        return _choice.device
    chosen = environment.choose_device(device, precision)
    checks.require_usable(chosen.device)
    environment.require_precision(chosen, precision)
    environment.prepare(chosen, precision)
    if not environment.core_is_built(chosen.device):
        build_core(chosen.device)
    try:
        with compatibility.patched_import(), preserve_process():
            import jittor as imported

            atexit.register(let_threads_start)  # it runs before Jittor's own function, which was registered earlier
            if chosen.device == "cuda":
                _use_cuda(imported)
            if chosen.device == "cuda" or precision == "amp":
                _active_precision, operations.autocast_enabled = precision, precision == "amp"
            with announce_if_slow("compiling ganzoo's own operations, once for this machine"):
                patch_and_register(imported, chosen.device)
            if chosen.device == "cpu" and operations.autocast_enabled and not operations.available():
                raise BackendError("--precision amp: ganzoo's operations failed to compile; use --precision fp32.")
    except BackendError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"Jittor can't be imported ({reason}). Run `ganzoo doctor` to see why.") from error
    # np.finfo would warn that Jittor's libraries flush subnormal numbers to zero.
    warnings.filterwarnings("ignore", "The value of the smallest subnormal", UserWarning)
    handle.set_jittor(imported, chosen.device)
    _choice = chosen
    return chosen.device


def patch_and_register(imported: Any, device: str) -> None:
    """Patch a newly imported Jittor and register our operations; the code for both is compiled once per cache."""
    patch_jittor(imported)
    run_python_passes_early(imported)
    refuse_empty_reductions(imported)
    if device == "cpu":
        speed_up_compiler(imported)
        operations.load(imported)


def _use_cuda(imported: Any) -> None:
    if not imported.has_cuda:
        raise BackendError("--device cuda: Jittor was built without a usable GPU. Run `ganzoo doctor`.")
    imported.flags.use_cuda = 1
    # By default Jittor stops benchmarking algorithms after fewer convolution shapes than progressive training has.
    imported.cudnn.set_algorithm_cache_size(CONVOLUTIONS)
    # Jittor never frees the workspace, which by default may take a quarter of the GPU's memory.
    imported.cudnn.set_max_workspace_ratio(WORKSPACE / imported.core.get_mem_info().total_cuda_ram)
    # Otherwise each conversion of a NumPy array waits until the GPU has finished all earlier work.
    imported.flags.use_cuda_host_allocator = 0


def compile_in_background() -> None:
    """From now on, let processes that train compile their kernels first. For a process that precompiles kernels."""
    compiling.compile_in_background(jittor())


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Within the body, compute and draw random numbers on the CPU; a GPU draws different numbers from the same seed."""
    jt = jittor()
    if device() == "cpu":
        yield
        return
    run_pending()
    with jt.flag_scope(use_cuda=0):
        yield
        run_pending()


def describe_device() -> str:
    """Describe the device, its precision and the reason for choosing it, in a few words for the user."""
    chosen = _chosen()
    return f"{'CUDA' if chosen.device == 'cuda' else 'CPU'}, {_precision()} ({chosen.reason})"


def _chosen() -> environment.DeviceChoice:
    device()  # BackendError if Jittor is not started
    assert _choice is not None
    return _choice


def _precision() -> str:
    return {"tf32": "TF32", "fp32": "float32", "amp": "bfloat16 and float32"}[_active_precision]


def describe_environment() -> dict[str, Any]:
    """Return everything that can change how results are rounded. If all of it is equal, the same seed gives the same
    bits on the CPU, but not on a GPU, where cuDNN chooses algorithms by timing and threads add in any order."""
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


def seed(*numbers: int) -> None:
    """Seed Jittor's generator with a hash of any number of integers. Pending random operations run first, because
    Jittor draws when an operation runs, not when it is created."""
    import numpy as np

    run_pending()
    hashed = int(np.random.SeedSequence(numbers).generate_state(1)[0]) & 0x7FFFFFFF
    # set_seed rather than set_global_seed: Python's and NumPy's global generators belong to the user.
    jittor().set_seed(hashed)


def gradients(loss: Any, weights: list[Any]) -> list[Any]:
    """Return the gradient of a scalar `loss` with respect to each weight, 0 if the loss doesn't depend on it."""
    return list(jittor().grad(loss, weights))


def gradients_and_missing(loss: Any, weights: list[Any]) -> tuple[list[Any], list[int]]:
    """Return the `gradients`, and the indices of the weights that the loss does not depend on.

    Jittor only logs a warning for such a weight, once per name. So each weight gets an unused name, and the log is
    parsed. This is slower than `gradients` but builds the same graph, so no other kernels are compiled.
    """
    jt = jittor()
    for weight in weights:
        weight.name(f"ganzoo.weight{next(_name_numbers)}")
    with jt.log_capture_scope(log_silent=1) as logs:
        grads = gradients(loss, weights)
    warned = (re.match(r"grads\[(\d+)\] .* doesn't have gradient", entry["msg"]) for entry in logs)
    return grads, [int(match[1]) for match in warned if match]


def all_finite(numbers: Iterable[Any]) -> Any:
    """Return a float32 Var (1,): 1 if all of these one-element Vars are finite, else 0. The host does not wait for it.

    Jittor compiles kernels with -Ofast, under which `x != x`, `x * 0` and comparisons with infinity are unreliable;
    only Jittor's `isfinite` and our own operations are compiled without -Ofast.
    """
    if operations.available():
        all_finite = operations.all_finite([number.detach() for number in numbers])
    else:  # infinities can't cancel out in the sum: inf - inf is NaN
        all_finite = jittor().isfinite(sum(numbers).reshape((1,))).float32()
    return all_finite.stop_grad()  # otherwise Jittor would keep everything computed from it in memory


def gpu_memory() -> int | None:
    """Return the GPU memory that Jittor has allocated, in bytes, or None on the CPU."""
    return int(jittor().core.get_mem_info().total_cuda_used) if device() == "cuda" else None


def resident_memory() -> int:
    """Return the resident memory of this process in bytes, or 0 if the system doesn't report it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * environment.PAGE_SIZE
    except OSError:
        return 0
