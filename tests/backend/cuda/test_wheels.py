"""Training on CUDA 13 compiles, links and starts with nothing but pip's wheels, even without a GPU.

These tests don't see what kernels compute: they use stand-in libraries whose functions do nothing (see stand_in).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo.backend.cuda import shim, toolkit
from ganzoo.cli.doctor_gpu import draw_pictures
from tests.backend.cuda import stand_in
from tests.support.agreement import ALL_RUNS

WHEEL_TOOLKITS = [kit for kit in toolkit.candidates() if "site-packages" in str(kit.nvcc)]
pytestmark = [
    pytest.mark.wheels,
    pytest.mark.skipif(not WHEEL_TOOLKITS, reason=f"needs the wheels: {toolkit.PIP_INSTALL}"),
]
NVIDIA_NAME = re.compile(r"_*(cuda|cudnn|cublas|curand|cufft|cusparse|nccl)[A-Z]\w+")


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> dict[str, str]:
    """Return the environment variables of a process that finds a GPU, the wheels and empty caches."""
    folder = tmp_path_factory.mktemp("machine")
    kit = WHEEL_TOOLKITS[0]
    assert toolkit.problem_with(kit) is None
    return {**os.environ, "HOME": str(folder), **stand_in.build(kit, folder / "cuda")}


def run(machine: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], env=machine, capture_output=True, text=True)


def test_the_real_libraries_load_by_the_names_of_cudnn_8(tmp_path):
    home = shim.make_cuda_home(WHEEL_TOOLKITS[0], tmp_path)
    names = (
        "cudart",
        "cublasLt",
        "cublas",
        "curand",
        "cufft",
        "cusparse",
        "cudnn_ops_infer",
        "cudnn_cnn_train",
        "cudnn",
    )
    program = f"""
import ctypes
for name in {names}:
    library = ctypes.CDLL("{home}/lib64/lib" + name + ".so", ctypes.RTLD_GLOBAL)
library.cudnnGetVersion.restype = ctypes.c_size_t
print(library.cudnnGetVersion())
"""
    done = run(dict(os.environ), "-c", program)
    assert int(done.stdout) >= 90000, done.stderr


@pytest.mark.parametrize("header", ["cuda_runtime.h", "cudnn.h", "curand.h", "cub/cub.cuh", "npp.h"])
def test_each_wrapper_compiles_for_cpp_17(tmp_path, header):
    home = shim.make_cuda_home(WHEEL_TOOLKITS[0], tmp_path)
    source = tmp_path / "probe.cu"
    source.write_text(f"#include <{header}>\n#include <{header}>\nint main() {{}}\n")
    command = [home / "bin/nvcc", "-std=c++14", f"-I{home}/include", "-arch=compute_90", "-code=sm_90", "-c", source]
    done = subprocess.run([*command, "-o", tmp_path / "probe.o"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_auto_chooses_the_gpu_and_cpu_the_cpu(machine):
    program = "from ganzoo.backend.environment import choose_device as choose\n"
    program += "print(choose('auto').device, choose('cpu').device)"
    assert run(machine, "-c", program).stdout.split() == ["cuda", "cpu"]


@pytest.mark.parametrize("precision", ["tf32", "amp"])
@pytest.mark.parametrize("name", [name for name in ALL_RUNS if name != "stylegan-paper"])
def test_every_kernel_of_training_compiles(machine, workdir, name, precision):
    draw_pictures(Path("pictures"), 4 if "--alpha" in ALL_RUNS[name] else 3)
    arguments = [*ALL_RUNS[name].split(), "--data", "pictures", "--precision", precision]
    done = run(machine, "-m", "ganzoo", "train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "on CUDA" in done.stdout
    assert "does not recognise" not in done.stdout + done.stderr  # cuDNN computes all convolutions, also in bfloat16


INITIAL = """
import sys
import numpy as np
from ganzoo import DataInfo, TrainOptions, backend
backend.start(sys.argv[1])
from ganzoo.registry import plugins
from ganzoo.interfaces.options import resolve
from ganzoo.training.state import TrainState
model = plugins.load().model("stylegan")
options = resolve(model.options, {"max_size": 8, "init_size": 8, "channels_base": 64, "channels_max": 8})
data = DataInfo("drawn", 10, 8, 3)
options = model.resolve_options(options, data)
networks = TrainState(model, options, data, resolve(TrainOptions, {"seed": 3}, model.defaults)).setup.networks
weights = [var.numpy() for each in networks.values() for var in each.state().values()]
print(sum(np.abs(array).sum(dtype=np.float64) for array in weights), weights[3].ravel()[:3].tolist())
"""


def test_a_seed_gives_the_same_weights_as_on_the_cpu(machine):
    """The weights must come from the CPU, because the stand-in's kernels draw nothing."""
    gpu, cpu = run(machine, "-c", INITIAL, "cuda"), run(dict(os.environ), "-c", INITIAL, "cpu")
    assert cpu.returncode == 0, cpu.stderr
    assert gpu.stdout == cpu.stdout, gpu.stderr


@pytest.mark.skipif(not shutil.which("mpirun"), reason="needs OpenMPI")
def test_two_processes_with_a_gpu_each_communicate_by_nccl(machine, domains):
    """The test compiles Jittor's NCCL operations, which exist only under mpirun, and the kernels of this run."""
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    train = [sys.executable, "-m", "ganzoo", "train", *ALL_RUNS["gan"].split()]
    command = ["mpirun", "--oversubscribe", "-np", "2", *train]
    for gpus, expected in (("1", False), ("2", True)):
        done = subprocess.run(
            [*command, "--data", "pictures", "--device", "cuda"],
            env={**machine, **as_root, "STAND_IN_GPUS": gpus},
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == expected, done.stderr
        assert ("2 processes can't share 1 GPU" in done.stderr) != expected
    built = [path.name for path in Path(machine["HOME"]).rglob("*.so")]
    assert any(name.startswith("nccl_all_reduce") for name in built)


def test_compiled_kernels_use_only_functions_that_the_real_libraries_have(machine):
    built = [path for path in Path(machine["HOME"]).rglob("*.so") if "_sm_90" in str(path)]
    assert len(built) > 50
    available = set().union(*(stand_in.symbols(WHEEL_TOOLKITS[0].find_library(name)) for name in stand_in.LIBRARIES))
    undefined = subprocess.run(
        ["nm", "-D", "--undefined-only", *built], capture_output=True, text=True, check=True
    ).stdout
    used = {word.partition("@")[0] for line in undefined.splitlines() for word in line.split()[1:]}
    used = {name for name in used if NVIDIA_NAME.fullmatch(name)}
    assert "cudnnConvolutionForward" in used
    assert used <= available
