"""Checks of Jittor's requirements. `ganzoo doctor` prints them all; `start` stops at the first fatal problem."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from ganzoo.backend import compatibility, environment
from ganzoo.backend.cuda.driver import driver
from ganzoo.backend.cuda.toolkit import LIBRARIES, Toolkit, candidates, problem_with
from ganzoo.errors import BackendError, reason
from ganzoo.files import data_dir

_SHELL_CHARACTERS = re.compile(r"[\s\"'`$\\&|;<>()*?\[\]{}]")
NEEDED_SPACE = 1 << 30  # bytes: Jittor's core and kernels take about 300 MB


@dataclass(frozen=True)
class Finding:
    """The result of a check. `problem` and `remedy` are sentences; `fatal` means that the problem prevents training."""

    what: str
    detail: str = ""
    problem: str = ""
    remedy: str = ""
    fatal: bool = True


def python_version() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 10) <= sys.version_info < (3, 14):
        return Finding("Python", version)
    return Finding(
        "Python", version, f"Python {version} can't run ganzoo.", "Use Python 3.10 to 3.13 (3.11 is tested best)."
    )


def numpy_version() -> Finding:
    version = _version("numpy")
    if version:
        return Finding("NumPy", version)
    return Finding("NumPy", "", "NumPy is not installed.", "Run: pip install numpy")


def jittor_version() -> Finding:
    version = _version("jittor")
    if version.startswith("1.3.11"):
        return Finding("Jittor", version)
    problem = f"Jittor {version} is not supported; ganzoo needs 1.3.11." if version else "Jittor is not installed."
    return Finding("Jittor", version, problem, f"Run: {_install('jittor==1.3.11.0', 'jittor-offline==0.0.7')}")


def _install(*packages: str) -> str:
    """Return the command that installs packages which need Jittor, or Jittor itself. Jittor requires NumPy 1, which
    can't be installed on Python 3.13 and must not replace an installed NumPy 2."""
    dependencies = " --no-deps" if compatibility.is_numpy_2() or sys.version_info >= (3, 13) else ""
    return f"pip install{dependencies} {' '.join(packages)}"


def onednn() -> Finding:
    built = list((environment.cache_dir() / "mkl").glob("dnnl*/lib/libmkldnn.so"))
    if built:
        return Finding("oneDNN", str(built[0].parent.parent.name))
    if util.find_spec("jittor_offline") is not None:
        return Finding("oneDNN", f"in jittor-offline {_version('jittor-offline')}")
    return Finding(
        "oneDNN",
        "",
        "oneDNN is missing, and Jittor would try to download it.",
        f"Run: {_install('jittor-offline==0.0.7')}",
    )


def compiler() -> Finding:
    """Check that there is a C++ compiler."""
    path = os.environ.get("cc_path") or "g++"
    remedy = "Install one, e.g. `apt install g++ python3-dev` or `dnf install gcc-c++ python3-devel`."
    if shutil.which(path) is None:
        return Finding(
            "C++ compiler", path, f"C++ compiler {path!r} not found; Jittor needs it to compile kernels.", remedy
        )
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return Finding("C++ compiler", version)


def compiler_works() -> Finding:
    """Check that the C++ compiler builds a shared library with OpenMP and the Python headers."""
    import sysconfig

    finding = compiler()
    if finding.problem:
        return finding
    source = "#include <Python.h>\n#include <omp.h>\nint threads() { return omp_get_max_threads(); }\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.cc"
        file.write_text(source)
        command = [os.environ.get("cc_path") or "g++", "-shared", "-fPIC", "-fopenmp", "-std=c++14"]
        command += [f"-I{sysconfig.get_path('include')}", str(file), "-o", str(file.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Finding("compiling", "a test library with OpenMP and Python's headers")
    line = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
    return Finding(
        "compiling", "", f"the C++ compiler fails: {line}", "Install the headers of this Python, and libgomp."
    )


def cache_path() -> Finding:
    remedy = "Set JITTOR_HOME to another folder, e.g. `export JITTOR_HOME=/var/tmp/jittor`."
    return _check_shell_path("cache path", environment.jittor_home(), remedy)


def jittor_path() -> Finding:
    spec = util.find_spec("jittor")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return _check_shell_path("Jittor's path", folder, "Install ganzoo into an environment in another folder.")


def _check_shell_path(what: str, path: Path, remedy: str) -> Finding:
    """Check that a path needs no quotes in a shell: Jittor writes paths into shell commands unquoted."""
    if (odd := _SHELL_CHARACTERS.search(str(path))) is None:
        return Finding(what, str(path))
    character = {" ": "a space", "\t": "a tab", "\n": "a line break"}.get(odd[0], odd[0])
    return Finding(what, str(path), f"{path}: Jittor can't compile in a folder with {character} in its path.", remedy)


def cache_writable() -> Finding:
    folder = environment.cache_dir()
    remedy = "Set JITTOR_HOME to a folder that can be written."
    if problem := _unwritable(folder):
        return Finding("cache", str(folder), f"{problem}; Jittor writes compiled code there.", remedy)
    free = shutil.disk_usage(_nearest_existing(folder)).free
    if free < NEEDED_SPACE:
        problem = f"only {free / 2**20:.0f} MB are free in {folder}; compiling takes up to 1 GB."
        return Finding("cache", str(folder), problem, "Free some space, or set JITTOR_HOME to a larger disk.")
    return Finding("cache", f"{folder}, {free / 2**30:.0f} GB free")


def data_writable() -> Finding:
    """Check the data directory, which training on the user's own images does not need."""
    folder = data_dir()
    problem = _unwritable(folder)
    remedy = "Set GANZOO_DATA to a folder that can be written."
    if problem:
        problem += "; ganzoo stores the data sets that it prepares there."
    return Finding("data", str(folder), problem, remedy, fatal=False)


def _unwritable(folder: Path) -> str:
    """Return why files can't be created in a folder, which may not exist yet, or "" if they can."""
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest_existing(folder)):
            return ""
    except OSError as error:
        return f"{folder} is not writable ({reason(error)})"


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def gpu() -> Finding:
    """Report the GPU. Training works without one, but an incomplete installation is worth reporting."""
    found = driver()
    if found is None or not found.gpus:
        return Finding("GPU", "none; training runs on the CPU", fatal=False)
    names = f"{', '.join(map(str, found.gpus))}; the driver runs CUDA {found.cuda[0]}.{found.cuda[1]}"
    kit, problem = environment.usable_toolkit(found)
    if kit is not None:
        return Finding("GPU", f"{names}; {kit}", fatal=False)
    return Finding("GPU", names, f"{problem}.", "Without it training runs on the CPU.", fatal=False)


def toolkits() -> Iterator[Finding]:
    """Yield a finding for each CUDA compiler and its libraries, if there is a GPU."""
    found = driver()
    for kit in candidates() if found and found.gpus else ():
        problem = problem_with(kit)
        libraries = ", ".join(
            f"{name} {_library_version(kit, name)}" for name in (*LIBRARIES, "nccl") if kit.find_library(name)
        )
        detail = f"{kit}{', through a folder of wrappers' if kit.needs_shim else ''}; {libraries}"
        yield Finding("CUDA", detail, f"{problem}." if problem else "", fatal=False)


def _library_version(kit: Toolkit, name: str) -> str:
    """Return the version in the file name of a library, or "" if there is no such library."""
    path = kit.find_library(name)
    return path.resolve().name.partition(".so.")[2] if path else ""


QUICK_CHECKS: tuple[Callable[[], Finding], ...] = (
    python_version,
    numpy_version,
    jittor_version,
    onednn,
    compiler,
    jittor_path,
    cache_path,
    cache_writable,
)


def require_usable(device: str) -> None:
    """Raise BackendError with the first fatal problem for 'cpu' or 'cuda'. Takes milliseconds."""
    for check in QUICK_CHECKS:
        if check is onednn and device == "cuda":
            continue  # used on the CPU only
        finding = check()
        if finding.problem and finding.fatal:
            raise BackendError(f"{finding.problem} {finding.remedy}")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
