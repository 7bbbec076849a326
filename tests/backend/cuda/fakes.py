"""CUDA toolkits of empty files, to test code that looks only at names."""

from __future__ import annotations

from pathlib import Path

LIBRARIES = {"cudart": 13, "cublas": 13, "cublasLt": 13, "curand": 10, "cufft": 12, "cusparse": 12}
CUDNN_8 = dict.fromkeys(("cudnn", "cudnn_ops_infer", "cudnn_cnn_infer", "cudnn_ops_train", "cudnn_cnn_train"), 8)
CUDNN_9 = dict.fromkeys(("cudnn", "cudnn_ops", "cudnn_cnn"), 9)
HEADERS = ("cuda_runtime.h", "cublas_v2.h", "cudnn.h", "curand.h", "cufft.h", "cusparse.h", "cccl/cub/cub.cuh")
PRINTS_ITS_ARGUMENTS = """#!/bin/sh
if [ "$1" = --version ]; then echo "Cuda compilation tools, release {version}, V0"; else
    for argument; do echo "$argument"; done; fi
"""


def toolkit(top: Path, version: str, libraries: dict[str, int], without: tuple[str, ...] = ()) -> Path:
    """Create a folder like that of an installed CUDA, and return its compiler, which prints its arguments."""
    names = [f"lib64/lib{name}.so.{number}" for name, number in libraries.items()]
    for name in [*names, *(f"include/{header}" for header in HEADERS)]:
        if Path(name).name not in without:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).touch()
    (top / "include/cudnn_version.h").write_text(
        "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 14\n#define CUDNN_PATCHLEVEL 0\n"
    )
    nvcc = top / "bin/nvcc"
    nvcc.parent.mkdir(exist_ok=True)
    nvcc.write_text(PRINTS_ITS_ARGUMENTS.format(version=version))
    nvcc.chmod(0o755)
    return nvcc
