"""A CUDA toolkit whose compiler and headers are real and whose libraries do nothing, for machines without a GPU.

Each library has exactly the symbols of the real library in NVIDIA's wheel, so whatever links with the stand-in links
with the real library. The C files in this folder define the few functions whose results Jittor uses; all others return
0.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ganzoo.backend.cuda.toolkit import Toolkit

HERE = Path(__file__).parent
# For each library, the C file with those of its functions that do more than return 0, or None if none does.
LIBRARIES = {
    "cudart": "cudart.c",
    "cublas": None,
    "cublasLt": None,
    "cudnn": "cudnn.c",
    "cudnn_ops": None,
    "cudnn_cnn": None,
    "curand": None,
    "cufft": None,
    "cusparse": None,
    "nccl": None,
}


def build(real: Toolkit, folder: Path) -> dict[str, str]:
    """Build the toolkit and a driver in `folder`, and return the environment variables that make a process use them."""
    for name in ("lib", "bin", "driver"):
        (folder / name).mkdir(parents=True)
    for library, source in LIBRARIES.items():
        file = real.find_library(library)
        assert file is not None
        _compile(file, source, real, folder / "lib" / file.name)
    _gcc(["-o", folder / "driver/libcuda.so.1", HERE / "cuda.c"])
    (folder / "driver/libcuda.so").symlink_to("libcuda.so.1")
    nvcc = folder / "bin/nvcc"
    nvcc.write_text(f'#!/bin/sh\nexec "{real.nvcc}" "$@"\n')
    nvcc.chmod(0o755)
    return {"CUDA_HOME": str(folder), "LD_LIBRARY_PATH": str(folder / "driver")}


def symbols(library: Path) -> set[str]:
    """Return the names of the functions and data that a library exports."""
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return {line.split()[2].partition("@")[0] for line in lines.splitlines() if line.split()[1] in "TWVDBRi"}


def _compile(library: Path, source: str | None, real: Toolkit, target: Path) -> None:
    stubs = target.with_suffix(".stubs.c")
    # The stubs are weak, so that the functions of the C file replace them.
    stub = 'int stub_{0}(void) __asm__("{1}") __attribute__((weak));\nint stub_{0}(void) {{ return 0; }}\n'
    stubs.write_text("".join(stub.format(number, name) for number, name in enumerate(sorted(symbols(library)))))
    headers = [f"-I{folder}" for folder in real.include_dirs]
    sources = [stubs, *([HERE / source] if source else [])]
    _gcc(["-o", target, f"-Wl,-soname,{library.name}", *headers, *sources])


def _gcc(arguments: list[object]) -> None:
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", *map(str, arguments)], check=True)
