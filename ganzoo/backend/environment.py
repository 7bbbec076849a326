"""What Jittor must find in its environment before it is imported, and which device to use."""

from __future__ import annotations

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
from ganzoo.backend.cuda import shim
from ganzoo.backend.cuda.driver import GPU, Driver, driver
from ganzoo.backend.cuda.toolkit import WHEELS, Toolkit, candidates, fault
from ganzoo.errors import BackendError

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

PRECISIONS = ("tf32", "fp32", "amp")  # of matrix products and convolutions on CUDA

# Settings Jittor reads at import. A user's own value wins, except where training would break.
_COMMON = {
    "gdb_path": "",  # its crash handler would fork gdb and wait for ever
    "log_silent": "1",
    "FIX_TORCH_ERROR": "0",  # otherwise it imports torch where torch is installed
    "use_cutt": "0",  # downloaded at import, and nothing here transposes through it
    "use_cutlass": "0",  # downloaded at import, and unused by Jittor itself
}


def home() -> Path:
    """The folder whose .cache/jittor holds everything that Jittor compiles."""
    default = Path.home()
    try:
        remembered = json.loads((default / ".cache" / "jittor" / "config.json").read_text())["JITTOR_HOME"]
    except (OSError, ValueError, KeyError, TypeError):
        remembered = str(default)
    return Path(os.environ.get("JITTOR_HOME") or remembered)


def cache_dir() -> Path:
    """The root of Jittor's caches."""
    return home() / ".cache" / "jittor"


def cache_name(device: str) -> str:
    """A cache of its own per device: a core compiled for the CPU shadows one compiled for CUDA."""
    return f"ganzoo-{device}"


def interpreter() -> str:
    """This Python by one name, whichever of python, python3 and python3.11 it was started as. Jittor writes the name
    into every kernel's key, so another name would compile all kernels again."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    path = Path(sys.executable).with_name(name)
    return str(path) if path.exists() else sys.executable


def outside_mpi() -> dict[str, str]:
    """The environment for a child process that is no part of the job that mpirun started."""
    of_mpi = ("OMPI_", "PMIX_", "PMI_", "PRTE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(of_mpi)}


@dataclass(frozen=True)
class Choice:
    """The device that training runs on, 'cpu' or 'cuda', why, in a few words, and the GPU and the toolkit of CUDA."""

    device: str
    because: str
    gpu: GPU | None = None
    toolkit: Toolkit | None = None


def choose_device(wanted: str, precision: str = PRECISIONS[0]) -> Choice:
    """The device for 'auto', 'cpu' or 'cuda', on CUDA with a toolkit that can do the precision, if there is one;
    BackendError if 'cuda' is wanted and can't be had."""
    if wanted == "cpu":
        return Choice("cpu", "as --device says")
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
            return Choice("cuda", f"{found.gpus[0]}, {kit}", found.gpus[0], kit)
    if wanted == "cuda":
        raise BackendError(f"--device cuda: {problem}. Use --device cpu, or run `ganzoo doctor`.")
    return Choice("cpu", str(problem))


def usable_toolkit(found: Driver, precision: str = PRECISIONS[0]) -> tuple[Toolkit | None, str | None]:
    """A toolkit that is whole and that the driver can run; else what is wrong with the first one that there is."""
    problems = []
    for kit in sorted(candidates(), key=lambda kit: precision == "amp" and not kit.shimmed):
        problem = fault(kit) or _mismatch(kit, found)
        if problem is None:
            return kit, None
        problems.append(problem)
    return None, next(iter(problems), f"there is a GPU but no CUDA compiler; run: {WHEELS}")


def _mismatch(kit: Toolkit, found: Driver) -> str | None:
    """Why a whole toolkit can't be used with this driver and these GPUs; None if it can."""
    if kit.version[0] > found.cuda[0]:
        need = f"update it{' to 580 or newer' if kit.version[0] == 13 else ''}"
        return f"the NVIDIA driver runs CUDA {found.cuda[0]}.{found.cuda[1]} at most, not {kit}; {need}"
    oldest = min(gpu.capability for gpu in found.gpus)
    if kit.shimmed and oldest < (7, 5):
        return (
            f"{found.gpus[0].name} has compute capability {oldest[0]}.{oldest[1]}, and CUDA 13 wants 7.5; use CUDA 12"
        )
    return None


def require_precision(choice: Choice, precision: str) -> None:
    """BackendError if the device can't compute so. The CPU computes in float32 whatever is asked for."""
    if precision != "amp" or choice.gpu is None or choice.toolkit is None:
        return
    if not choice.toolkit.shimmed:
        # Without the shim's cudnn.h Jittor has convolutions of 16 bits summed up in 16 bits.
        raise BackendError(f"--precision amp: needs CUDA 13 with cuDNN 9, and this is {choice.toolkit}; run: {WHEELS}")
    if choice.gpu.capability < (8, 0):
        raise BackendError(f"--precision amp: {choice.gpu.name} has no bfloat16; use --precision fp32.")


def prepare(choice: Choice, precision: str = PRECISIONS[0]) -> None:
    """Set what Jittor and NVIDIA's libraries read when they are loaded, for this process and its children."""
    settings = dict(_COMMON)
    settings["cache_name"] = cache_name(choice.device)
    settings["use_mpi"] = settings["use_nccl"] = "1" if distributed.world_size() > 1 else "0"
    if choice.toolkit is None:
        settings["nvcc_path"] = ""  # any nvcc without GPU libraries beside it kills the import
    else:
        settings.update(_for_cuda(choice.toolkit, precision))
    if config := _python_config():
        settings["python_config_path"] = config
    os.environ.update(settings)
    # Threads that wait spin by default, and take the cores from whoever they wait for: on two busy cores a training
    # fell from 163 to 4 images a second.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _for_cuda(kit: Toolkit, precision: str) -> dict[str, str]:
    # cuDNN multiplies float32 as TF32 wherever the GPU can, unless it is told so from outside.
    settings = {"NVIDIA_TF32_OVERRIDE": "0"} if precision == "fp32" else {}
    settings["nvcc_path"] = str(kit.nvcc)
    settings["use_mkl"] = "0"  # oneDNN computes on the CPU only, and Jittor tries it out for half a minute
    headers, libraries = kit.header("nccl.h"), kit.library("nccl")
    if kit.shimmed:
        home = shim.home(kit, cache_dir() / "ganzoo-cuda")
        settings["nvcc_path"] = str(home / "bin/nvcc")
        headers = headers and home / "include/nccl.h"
        libraries = libraries and home / "lib64/libnccl.so"
    if distributed.world_size() > 1 and (headers is None or libraries is None):
        raise BackendError(f"mpirun on GPUs needs NVIDIA's NCCL, and {kit} comes without it; run: {WHEELS}")
    if headers and libraries:  # otherwise Jittor would download its source
        settings.update(nccl_include_path=str(headers.parent), nccl_lib_path=str(libraries.parent))
    return settings


def threads() -> int:
    """How many threads convolutions and matrix products run on."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(chosen) if chosen.isdigit() else len(os.sched_getaffinity(0))


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _python_config() -> str | None:
    """The python3.x-config of the Python that a virtual environment was made from, where Jittor doesn't look, or a
    script in its place where there is none. None where Jittor finds one by itself."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-config"
    if any(Path(folder, name).exists() for folder in (Path(sys.executable).parent, "/usr/bin", "/usr/local/bin")):
        return None
    own = Path(sys.base_prefix, "bin", name)
    return str(own if own.exists() else _written_config(name))


def _written_config(name: str) -> Path:
    """A script that answers what Jittor asks of python3.x-config, which some Pythons come without."""
    folders = dict.fromkeys(sysconfig.get_path(kind) for kind in ("include", "platinclude"))
    includes = " ".join(f"-I{folder}" for folder in folders)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = cache_dir() / f"ganzoo-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(f'#!/bin/sh\ntest "$1" = --includes && echo "{includes}" || echo "{suffix}"\n')
    temporary.chmod(0o755)
    return temporary.replace(path)


def _built_marker(device: str) -> Path:
    return cache_dir() / f"{cache_name(device)}.built.json"


def _fingerprint() -> dict[str, str]:
    """What Jittor's cache path depends on, as far as it can be told without importing it."""
    spec = util.find_spec("jittor")
    compiler = os.environ.get("cc_path") or "g++"
    try:
        version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    except OSError:
        version = ""
    return {
        "jittor": str(spec.origin) if spec else "",
        "cache": str(cache_dir()),
        "python": sys.version,
        "compiler": f"{compiler} {version.strip()}",
        "host": f"{platform.node()} {platform.machine()}",
        "flags": os.environ.get("cc_flags", ""),
        "nvcc": os.environ.get("nvcc_path", ""),  # the shim's path names its content
    }


def core_is_built(device: str) -> bool:
    """Whether a former `mark_built` holds for this very Python, compiler and Jittor."""
    try:
        marker = json.loads(_built_marker(device).read_text())
        return bool(_fingerprint() in marker["built"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def mark_built(device: str) -> None:
    """Remember that Jittor's core is compiled, so that the next start imports it at once."""
    path = _built_marker(device)
    try:
        built = json.loads(path.read_text())["built"][-20:]
    except (OSError, ValueError, KeyError, TypeError):
        built = []
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"built": [*built, _fingerprint()]}, indent=1))
    temporary.replace(path)
