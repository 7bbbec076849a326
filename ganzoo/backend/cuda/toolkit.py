"""Search for the CUDA compiler and its libraries: an installed toolkit, or NVIDIA's wheels from pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

OLDEST = (11, 8)
SHIM_FROM = 13  # from this CUDA version on, Jittor needs the folder that `shim` creates
LIBRARIES = ("cudart", "cublas", "cublasLt", "curand", "cufft", "cusparse")
_CUDNN_8_LIBRARIES = ("cudnn", "cudnn_ops_infer", "cudnn_cnn_infer", "cudnn_ops_train", "cudnn_cnn_train")
CUDNN_9_LIBRARIES = ("cudnn", "cudnn_ops", "cudnn_cnn")
_HEADERS = ("cuda_runtime.h", "cublas_v2.h", "cudnn.h", "curand.h", "cufft.h", "cusparse.h")
# System folders where package managers may put the libraries and headers.
SYSTEM_LIBRARY_DIRS = tuple(map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")))
SYSTEM_INCLUDE_DIRS = tuple(map(Path, ("/usr/include", "/usr/include/x86_64-linux-gnu")))
DEFAULT_CUDA_HOME = Path("/usr/local/cuda")
PIP_INSTALL = 'pip install "ganzoo[cuda13]"'


@dataclass(frozen=True)
class Toolkit:
    """A CUDA compiler, its version, and the folders to search for headers and libraries, in order. `missing` lists what
    Jittor needs but no folder has; `broken` is the reason why the compiler doesn't run, or ""."""

    nvcc: Path
    version: tuple[int, int]
    include_dirs: tuple[Path, ...]
    library_dirs: tuple[Path, ...]
    missing: tuple[str, ...] = ()
    broken: str = ""

    @property
    def needs_shim(self) -> bool:
        """Whether Jittor can use the toolkit only through the folder that `shim` creates."""
        return self.version[0] >= SHIM_FROM

    def find_library(self, name: str) -> Path | None:
        """Return the path of the newest libNAME.so.N, or else of libNAME.so, or None if no folder has either."""
        for folder in self.library_dirs:
            found = [path for path in folder.glob(f"lib{name}.so*") if re.fullmatch(r".*\.so(\.\d+)?", path.name)]
            if found:
                return max(found, key=lambda path: [int(part) for part in path.name.split(".") if part.isdigit()])
        return None

    def find_header(self, name: str) -> Path | None:
        """Return the path of a header, or None if no folder has it."""
        return next((folder / name for folder in self.include_dirs if (folder / name).exists()), None)

    @property
    def cudnn(self) -> tuple[int, ...]:
        """The cuDNN version in its header, such as (9, 14, 0); empty if unknown."""
        for name in ("cudnn_version.h", "cudnn.h"):
            header = self.find_header(name)
            text = header.read_text(errors="replace") if header else ""
            found = [re.search(rf"#define CUDNN_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "PATCHLEVEL")]
            if all(found):
                return tuple(int(match[1]) for match in found if match)
        return ()

    def __str__(self) -> str:
        cudnn = ".".join(map(str, self.cudnn)) or "?"
        return f"CUDA {self.version[0]}.{self.version[1]} ({self.nvcc}), cuDNN {cudnn}"


def candidates() -> list[Toolkit]:
    """Return all compilers of this machine in the order that a user would expect: from environment variables, on PATH,
    in /usr/local, and from pip's wheels."""
    found: dict[Path, Toolkit] = {}
    for path in _compilers():
        nvcc = path.resolve()
        if nvcc.is_file() and nvcc not in found:
            found[nvcc] = _inspect(nvcc)
    return list(found.values())


def _compilers() -> Iterator[Path]:
    if named := os.environ.get("nvcc_path"):
        yield _unwrap(Path(named))  # in a child process, this is the script of `shim`
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if folder := os.environ.get(variable):
            yield Path(folder, "bin", "nvcc")
    on_path = shutil.which("nvcc")
    if on_path is not None:
        yield _unwrap(Path(on_path))
    yield DEFAULT_CUDA_HOME / "bin/nvcc"
    yield from (wheel / "bin" / "nvcc" for wheel in _wheels())


def _unwrap(nvcc: Path) -> Path:
    """Return `nvcc`, or the compiler that it calls if it is a shell script, because headers and libraries are beside
    the compiler."""
    try:
        with open(nvcc, "rb") as file:
            start = file.read(4096)
    except OSError:
        return nvcc
    called = re.search(rb"exec\s+\"?(/[^\s\"]+/nvcc)", start) if start.startswith(b"#!") else None
    return Path(called[1].decode()) if called else nvcc


def _wheels() -> list[Path]:
    """Return the folders of NVIDIA's wheels, each named after a CUDA version or a library. Python's import path is
    searched, which may include another environment's packages."""
    packages = dict.fromkeys([*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    return [path for each in packages for path in sorted(Path(each, "nvidia").glob("*")) if path.is_dir()]


def _version(nvcc: Path) -> tuple[int, int] | str:
    """Return the compiler's version, or the reason why it is unknown."""
    try:
        answer = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{nvcc} does not run ({error})"
    found = re.search(r"release (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else f"{nvcc} --version fails with status {answer.returncode}"


def _inspect(nvcc: Path) -> Toolkit:
    version = _version(nvcc)
    if isinstance(version, str):
        return Toolkit(nvcc, (0, 0), (), (), broken=version)
    top = nvcc.parent.parent
    library_dirs, include_dirs = [top / "lib64", top / "lib", top / "targets/x86_64-linux/lib"], [top / "include"]
    if version[0] >= SHIM_FROM:  # the shim can combine several folders
        library_dirs += [folder / "lib" for folder in _wheels()]
        include_dirs += [folder / "include" for folder in _wheels()]
    include_dirs, library_dirs = [*include_dirs, *SYSTEM_INCLUDE_DIRS], [*library_dirs, *SYSTEM_LIBRARY_DIRS]
    kit = Toolkit(nvcc, version, _existing(include_dirs), _existing(library_dirs))
    return replace(kit, missing=tuple(_missing(kit)))


def _existing(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for path in paths if path.is_dir()))


def _missing(kit: Toolkit) -> Iterator[str]:
    cudnn = CUDNN_9_LIBRARIES if kit.needs_shim else _CUDNN_8_LIBRARIES
    yield from (f"lib{name}.so" for name in (*LIBRARIES, *cudnn) if kit.find_library(name) is None)
    yield from (name for name in _HEADERS if kit.find_header(name) is None)


def problem_with(kit: Toolkit) -> str | None:
    """Return why Jittor can't use a toolkit and what to do, as a sentence without a full stop, or None if it can."""
    if kit.broken:
        return f"{kit.broken}; repair it, or run: {PIP_INSTALL}"
    version = f"CUDA {kit.version[0]}.{kit.version[1]} ({kit.nvcc})"
    if kit.version < OLDEST:
        return f"{version} is too old; install CUDA 11.8 to 13, or run: {PIP_INSTALL}"
    if kit.missing:
        lacks = f"{version} lacks {', '.join(kit.missing[:3])}{' and more' if len(kit.missing) > 3 else ''}"
        advice = f"run: {PIP_INSTALL}"
        if not kit.needs_shim:
            advice = f"install them (CUDA 11 and 12 need cuDNN 8), or {advice}"
        return f"{lacks}; {advice}"
    return None
