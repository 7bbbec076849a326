"""What Jittor must find in its environment before it is imported, and which device to use."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

from ganzoo.errors import BackendError

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

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


def in_mpi() -> bool:
    """Whether this process was started by mpirun."""
    return "OMPI_COMM_WORLD_SIZE" in os.environ


def nvcc() -> str | None:
    """The CUDA compiler that Jittor would use."""
    return os.environ.get("nvcc_path") or shutil.which("nvcc") or _existing("/usr/local/cuda/bin/nvcc")


def _existing(path: str) -> str | None:
    return path if Path(path).exists() else None


def gpu_count() -> int:
    """How many GPUs the NVIDIA driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
        return count.value
    except (OSError, AttributeError):
        return 0


def nvcc_problem() -> str | None:
    """Why the CUDA compiler can't be used, in a sentence; None if it works."""
    compiler = nvcc()
    if compiler is None:
        return "there is no nvcc; install the CUDA toolkit or put its bin folder on PATH"
    try:
        answer = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{compiler} does not run ({error})"
    if answer.returncode != 0 or "release" not in answer.stdout:
        return f"{compiler} --version fails with status {answer.returncode}; mend or reinstall the CUDA toolkit"
    return None


def choose_device(wanted: str) -> str:
    """'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'; BackendError if 'cuda' is wanted and can't be had."""
    if wanted == "cpu":
        return "cpu"
    reason = "the NVIDIA driver shows no GPU" if gpu_count() == 0 else nvcc_problem()
    if reason is None:
        return "cuda"
    if wanted == "cuda":
        raise BackendError(f"--device cuda: {reason}. Use --device cpu, or run `ganzoo doctor`.")
    return "cpu"


def prepare(device: str) -> None:
    """Set what Jittor reads at import, for this process and its children."""
    settings = dict(_COMMON)
    settings["cache_name"] = cache_name(device)
    if not in_mpi():
        settings["use_mpi"] = "0"
        settings["use_nccl"] = "0"
    if device == "cpu":
        settings["nvcc_path"] = ""  # any nvcc without GPU libraries beside it kills the import
    if config := _python_config():
        settings["python_config_path"] = config
    os.environ.update(settings)
    # Threads that wait spin by default, and take the cores from whoever they wait for: on two busy cores a training
    # fell from 163 to 4 images a second.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


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
    """The python3.x-config of the Python that a virtual environment was made from; Jittor doesn't look there. None
    where it finds one by itself."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-config"
    if any(Path(folder, name).exists() for folder in (Path(sys.executable).parent, "/usr/bin", "/usr/local/bin")):
        return None
    own = Path(sys.base_prefix, "bin", name)
    return str(own) if own.exists() else None


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
        "python": sys.version,
        "compiler": f"{compiler} {version.strip()}",
        "host": f"{platform.node()} {platform.machine()}",
        "flags": os.environ.get("cc_flags", ""),
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
