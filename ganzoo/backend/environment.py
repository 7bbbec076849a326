"""The environment variables that Jittor needs before its import, and the choice of the device."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from ganzoo import distributed
from ganzoo.backend import compatibility
from ganzoo.backend.cuda import shim
from ganzoo.backend.cuda.driver import GPU, Driver, driver
from ganzoo.backend.cuda.toolkit import PIP_INSTALL, Toolkit, candidates, problem_with
from ganzoo.errors import BackendError
from ganzoo.files import atomic_path

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

PRECISIONS = ("tf32", "fp32", "amp")  # of matrix products and convolutions
_AMX_FLAGS = {"amx_tile", "amx_bf16", "avx512_bf16"}
# The beginnings of Linux's names of the instructions that compilers use unasked.
_COMPILER_FLAGS = ("abm", "avx", "bmi", "f16c", "fma", "movbe", "popcnt", "sse", "ssse", "tbm", "xop")
_AMX_ISA = "AVX512_CORE_AMX"  # as oneDNN calls processors with AMX
# How often a waiting thread looks for work before it sleeps.
_SPINS = "1000"

# Settings that Jittor reads at import. They override the user's own values.
_COMMON = {
    "gdb_path": "",  # otherwise the crash handler forks gdb and waits for ever
    "log_silent": "1",
    "FIX_TORCH_ERROR": "0",  # otherwise Jittor imports torch if it is installed
    "use_cutt": "0",  # would be downloaded at import, and nothing here uses its transpose
    "use_cutlass": "0",  # would be downloaded at import, and Jittor itself does not use it
}


def jittor_home() -> Path:
    """Return the folder whose .cache/jittor holds everything that Jittor compiles."""
    default = Path.home()
    try:
        configured = json.loads((default / ".cache" / "jittor" / "config.json").read_text())["JITTOR_HOME"]
    except (OSError, ValueError, KeyError, TypeError):
        configured = str(default)
    return Path(os.environ.get("JITTOR_HOME") or configured)


def cache_dir() -> Path:
    """Return the root folder of Jittor's caches."""
    return jittor_home() / ".cache" / "jittor"


def cache_name(device: str) -> str:
    """Return the name of the cache. Each device has its own, because a core compiled for the CPU would shadow one
    compiled for CUDA. Each installation of Jittor has its own: in a shared cache, Jittor would recompile the core
    whenever another virtual environment has compiled it. That takes minutes and ends any process that is starting.
    Processors with other instructions have caches of their own, because code compiled for one can crash another.
    Jittor distinguishes them by name only, and virtual machines call processors of several generations by one name.
    NumPy 1 and 2 have caches of their own, because arrays have different structures in them."""
    instructions = sorted(flag for flag in processor_flags() if flag.startswith(_COMPILER_FLAGS))
    key = hashlib.sha256(repr((str(_jittor_init() or ""), instructions)).encode()).hexdigest()[:8]
    return f"ganzoo-{device}-{key}{'-numpy2' if compatibility.is_numpy_2() else ''}"


def _jittor_init() -> Path | None:
    """Return the path of Jittor's __init__.py, or None if Jittor is not installed. Jittor is not imported."""
    spec = util.find_spec("jittor")
    return Path(spec.origin) if spec and spec.origin else None


def interpreter() -> str:
    """Return the path of this Python, always by the same name, whether it was started as python, python3 or python3.11.
    The name is part of every kernel's cache key in Jittor, so another name would recompile all kernels."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    path = Path(sys.executable).with_name(name)
    return str(path) if path.exists() else sys.executable


def without_mpi() -> dict[str, str]:
    """Return the environment for a child process that is not part of the mpirun job."""
    prefixes = ("OMPI_", "PMIX_", "PMI_", "PRTE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@dataclass(frozen=True)
class DeviceChoice:
    """The device for training ('cpu' or 'cuda'), the reason in a few words, and for CUDA the GPU and the toolkit."""

    device: str
    reason: str
    gpu: GPU | None = None
    toolkit: Toolkit | None = None


def choose_device(device: str, precision: str = PRECISIONS[0]) -> DeviceChoice:
    """Choose the device for 'auto', 'cpu' or 'cuda', preferring a CUDA toolkit that supports the precision. Raises
    BackendError if `device` is 'cuda' and CUDA is unavailable, or if this machine has more processes than GPUs."""
    if device == "cpu":
        return DeviceChoice("cpu", "chosen by --device")
    found = driver()
    if found is None or not found.gpus:
        problem: str | None = "the NVIDIA driver shows no GPU"
    else:
        kit, problem = usable_toolkit(found, precision)
        if kit is not None and distributed.local_world_size() > len(found.gpus):
            raise BackendError(
                f"{distributed.local_world_size()} processes can't share {len(found.gpus)} GPU(s): start one for each, "
                "or use --device cpu."
            )
        if kit is not None:
            return DeviceChoice("cuda", f"{found.gpus[0]}, {kit}", found.gpus[0], kit)
    if device == "cuda":
        raise BackendError(f"--device cuda: {problem}. Use --device cpu, or run `ganzoo doctor`.")
    return DeviceChoice("cpu", str(problem))


def usable_toolkit(found: Driver, precision: str = PRECISIONS[0]) -> tuple[Toolkit | None, str | None]:
    """Return (a complete toolkit that the driver can run, None); without one, (None, the first toolkit's problem)."""
    problems = []
    for kit in sorted(candidates(), key=lambda kit: precision == "amp" and not kit.needs_shim):
        problem = problem_with(kit) or incompatibility(kit, found)
        if problem is None:
            return kit, None
        problems.append(problem)
    return None, next(iter(problems), f"there is a GPU but no CUDA compiler; run: {PIP_INSTALL}")


def incompatibility(kit: Toolkit, found: Driver) -> str | None:
    """Return why a complete toolkit can't be used with this driver and its GPUs, or None if it can."""
    if kit.version[0] > found.cuda[0]:
        need = f"update it{' to 580 or newer' if kit.version[0] == 13 else ''}"
        return f"the NVIDIA driver runs CUDA {found.cuda[0]}.{found.cuda[1]} at most, not {kit}; {need}"
    oldest = min(gpu.capability for gpu in found.gpus)
    if kit.needs_shim and oldest < (7, 5):
        capability = f"{oldest[0]}.{oldest[1]}"
        return f"{found.gpus[0].name} has compute capability {capability}, but CUDA 13 needs at least 7.5; use CUDA 12"
    return None


def require_precision(choice: DeviceChoice, precision: str) -> None:
    """Raise BackendError if the device does not support the precision. The CPU computes in float32 for 'tf32'."""
    if precision != "amp":
        return
    if choice.device == "cpu" and not amx_available():
        raise BackendError("--precision amp: this processor has no AMX instructions; use --precision fp32.")
    if choice.gpu is None or choice.toolkit is None:
        return
    if not choice.toolkit.needs_shim:
        # Without the shim's cudnn.h, Jittor requests accumulation in 16 bits for 16-bit convolutions.
        problem = f"needs CUDA 13 with cuDNN 9, but found {choice.toolkit}"
        raise BackendError(f"--precision amp: {problem}; run: {PIP_INSTALL}")
    if choice.gpu.capability < (8, 0):
        raise BackendError(f"--precision amp: {choice.gpu.name} doesn't support bfloat16; use --precision fp32.")


@functools.cache
def amx_available() -> bool:
    """Whether the CPU multiplies bfloat16 matrices (AMX, in Intel's processors since 2023), and Linux and the user's
    DNNL_MAX_CPU_ISA let this process do so. AVX512_BF16 alone doesn't count: with it oneDNN is slower than with float32
    and Winograd's algorithm."""
    request_permission, tile_data = 0x1023, 18  # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    if platform.machine() != "x86_64" or not processor_flags() >= _AMX_FLAGS:
        return False
    if os.environ.get("DNNL_MAX_CPU_ISA", _AMX_ISA) != _AMX_ISA:
        return False
    return ctypes.CDLL(None).syscall(158, request_permission, tile_data) == 0


def prepare(choice: DeviceChoice, precision: str = PRECISIONS[0]) -> None:
    """Set the environment variables that Jittor and NVIDIA's libraries read when loaded, for this process and its
    children."""
    settings = dict(_COMMON)
    settings["cache_name"] = cache_name(choice.device)
    settings["use_mpi"] = settings["use_nccl"] = "1" if distributed.world_size() > 1 else "0"
    if choice.toolkit is None:
        settings["nvcc_path"] = ""  # an nvcc without GPU libraries beside it breaks the import
        if amx_available():
            settings["DNNL_MAX_CPU_ISA"] = _AMX_ISA  # oneDNN 2.2 uses AMX only on request
    else:
        settings.update(_for_cuda(choice.toolkit, precision))
    if config := _python_config():
        settings["python_config_path"] = config
    if jittor_init := _jittor_init():
        flag, given = compatibility.include_flag(jittor_init.parent, cache_dir()), os.environ.get("cc_flags", "")
        if flag and flag not in given:  # a parent process may have added it
            settings["cc_flags"] = f"{flag} {given}".strip()
    os.environ.update(settings)
    if "OMP_WAIT_POLICY" not in os.environ:
        # By default, waiting threads spin for milliseconds and take the cores from the threads that they wait for: on
        # two busy cores, training slowed down from 163 to 4 images per second. Threads that sleep at once take 50 us to
        # wake, as long as a small convolution.
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def _for_cuda(kit: Toolkit, precision: str) -> dict[str, str]:
    # cuDNN multiplies float32 as TF32 wherever the GPU can, unless this variable forbids it.
    settings = {"NVIDIA_TF32_OVERRIDE": "0"} if precision == "fp32" else {}
    settings["nvcc_path"] = str(kit.nvcc)
    settings["use_mkl"] = "0"  # oneDNN is for the CPU only, and Jittor tests it for half a minute
    headers, libraries = kit.find_header("nccl.h"), kit.find_library("nccl")
    if kit.needs_shim:
        home = shim.make_cuda_home(kit, cache_dir() / "ganzoo-cuda")
        settings["nvcc_path"] = str(home / "bin/nvcc")
        headers = headers and home / "include/nccl.h"
        libraries = libraries and home / "lib64/libnccl.so"
    if distributed.world_size() > 1 and (headers is None or libraries is None):
        raise BackendError(f"mpirun on GPUs needs NVIDIA's NCCL, but {kit} doesn't include it; run: {PIP_INSTALL}")
    if headers and libraries:  # otherwise Jittor would download NCCL's source
        settings.update(nccl_include_path=str(headers.parent), nccl_lib_path=str(libraries.parent))
    return settings


def threads() -> int:
    """Return the number of threads for convolutions and matrix products."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(chosen) if chosen.isdigit() else len(os.sched_getaffinity(0))


def processor() -> str:
    """Return the name of the processor."""
    return _processor_field("model name") or platform.machine()


def processor_flags() -> set[str]:
    """Return Linux's names of the processor's features, such as avx2."""
    return set(_processor_field("flags").split())


def _processor_field(name: str) -> str:
    """Return a field of the first processor in /proc/cpuinfo, or "" if it isn't there."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name) and ":" in line), "")


def _python_config() -> str | None:
    """Return the path of a python3.x-config for Jittor, or None if Jittor finds one itself. Prefer the one beside
    the Python that this virtual environment was created from; if none is there, write a script."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-config"
    if any(Path(folder, name).exists() for folder in (Path(sys.executable).parent, "/usr/bin", "/usr/local/bin")):
        return None
    own = Path(sys.base_prefix, "bin", name)
    return str(own if own.exists() else _write_config(name))


def _write_config(name: str) -> Path:
    """Write a script that answers Jittor's queries to python3.x-config, for Pythons that come without one."""
    folders = dict.fromkeys(sysconfig.get_path(kind) for kind in ("include", "platinclude"))
    includes = " ".join(f"-I{folder}" for folder in folders)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = cache_dir() / f"ganzoo-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(f'#!/bin/sh\ntest "$1" = --includes && echo "{includes}" || echo "{suffix}"\n')
        temporary.chmod(0o755)
    return path


def _built_marker(device: str) -> Path:
    return cache_dir() / f"{cache_name(device)}.built.json"


def _fingerprint() -> dict[str, str]:
    """Return what Jittor's cache path depends on, as far as we know it without importing Jittor."""
    compiler = os.environ.get("cc_path") or "g++"
    try:
        version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    except OSError:
        version = ""
    return {
        "jittor": str(_jittor_init() or ""),
        "cache": str(cache_dir()),
        "python": sys.version,
        "compiler": f"{compiler} {version.strip()}",
        "host": f"{platform.node()} {platform.machine()}",
        "flags": os.environ.get("cc_flags", ""),
        "nvcc": os.environ.get("nvcc_path", ""),  # the shim's path contains a hash of its content
    }


def core_is_built(device: str) -> bool:
    """Whether `mark_built` was called with this Python, compiler and Jittor."""
    try:
        marker = json.loads(_built_marker(device).read_text())
        return bool(_fingerprint() in marker["built"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def mark_built(device: str) -> None:
    """Record that Jittor's core is compiled, so that the next start imports it directly."""
    path = _built_marker(device)
    try:
        built = json.loads(path.read_text())["built"][-20:]
    except (OSError, ValueError, KeyError, TypeError):
        built = []
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"built": [*built, _fingerprint()]}, indent=1))
