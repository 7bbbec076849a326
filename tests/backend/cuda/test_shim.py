from __future__ import annotations

import subprocess

import pytest

from ganzoo.backend.cuda import shim, toolkit
from ganzoo.errors import BackendError
from tests.backend.cuda import fakes


@pytest.fixture
def kit(tmp_path, monkeypatch) -> toolkit.Toolkit:
    """Return a toolkit with CUDA 13 and cuDNN 9 in one folder."""
    monkeypatch.setattr(toolkit, "_wheels", list)
    nvcc = fakes.toolkit(tmp_path / "cuda", "13.0", {**fakes.LIBRARIES, **fakes.CUDNN_9})
    monkeypatch.setattr(toolkit, "_compilers", lambda: iter([nvcc]))
    (only,) = toolkit.candidates()
    return only


def test_libraries_have_the_names_that_jittor_expects(kit, tmp_path):
    home = shim.make_cuda_home(kit, tmp_path / "homes")
    real = tmp_path / "cuda/lib64"
    for name, number in {**fakes.LIBRARIES, **fakes.CUDNN_9}.items():
        assert (home / f"lib64/lib{name}.so").resolve() == real / f"lib{name}.so.{number}"
        assert (home / f"lib64/lib{name}.so.{number}").resolve() == real / f"lib{name}.so.{number}"
    for old, new in (("ops_infer", "ops"), ("ops_train", "ops"), ("cnn_infer", "cnn"), ("cnn_train", "cnn")):
        assert (home / f"lib64/libcudnn_{old}.so").resolve() == real / f"libcudnn_{new}.so.9"


def test_our_headers_include_the_real_ones_and_the_others_are_links(kit, tmp_path):
    home = shim.make_cuda_home(kit, tmp_path / "homes")
    assert (home / "include/cublas_v2.h").resolve() == tmp_path / "cuda/include/cublas_v2.h"
    for name, real in (
        ("cuda_runtime.h", "cuda_runtime.h"),
        ("cudnn.h", "cudnn.h"),
        ("curand.h", "curand.h"),
        ("cub/cub.cuh", "cccl/cub/cub.cuh"),
    ):
        text = (home / "include" / name).read_text()
        assert text.startswith(f'#include "{tmp_path}/cuda/include/{real}"\n')
    assert "NPP_MAX_32S" in (home / "include/npp.h").read_text()


def test_nvcc_is_called_for_cpp_17_and_newer_gpus(kit, tmp_path):
    nvcc = shim.make_cuda_home(kit, tmp_path / "homes") / "bin/nvcc"
    arguments = ["-std=c++14", "a file.cc", "-arch=compute_90", "-code=sm_90", '-DX="y z"', ""]
    output = subprocess.run([nvcc, *arguments], capture_output=True, text=True, check=True).stdout
    expected = ["-std=c++17", "a file.cc", "-arch=compute_90", "-code=sm_90,compute_90", '-DX="y z"', ""]
    assert output.split("\n")[:-1] == expected
    assert not nvcc.is_symlink()  # Jittor would look for headers beside the link's target


def test_a_home_is_reused_unless_the_libraries_change(kit, tmp_path):
    first = shim.make_cuda_home(kit, tmp_path / "homes")
    assert shim.make_cuda_home(kit, tmp_path / "homes") == first
    (tmp_path / "cuda/lib64/libcudnn_ops.so.9").write_text("a newer one")
    second = shim.make_cuda_home(kit, tmp_path / "homes")
    assert second != first
    assert sorted(path.name for path in (tmp_path / "homes").iterdir()) == sorted([first.name, second.name])


def test_an_unwritable_folder_is_an_error(kit):
    with pytest.raises(BackendError, match="/proc/homes is not writable"):
        shim.make_cuda_home(kit, toolkit.Path("/proc/homes"))


def test_16_bit_convolutions_and_their_gradients_use_tensor_cores_and_sum_in_float32(tmp_path):
    """The probe prints two lines for each of float32, float16 and bfloat16. The first gives the type of sums (0:
    float32), the math type, and the math types of the algorithms for the output and both gradients (0: default, 1:
    tensor cores). The second gives the math type after a request to allow conversion. It is 1, so float32 is never
    rounded to float16. Had an algorithm been timed while its kernels were loaded, 100 would be added."""
    headers, source = shim._HERE / "include", toolkit.Path(__file__).with_name("math_types.cc")
    command = ["g++", "-std=c++17", "-w", f"-I{headers}", source, "-o", tmp_path / "probe"]
    subprocess.run(command, check=True)
    lines = subprocess.run([tmp_path / "probe"], capture_output=True, text=True, check=True).stdout.split("\n")
    assert lines[:-1] == ["0 0 0 0 0", "1", "0 1 1 1 1", "1", "0 1 1 1 1", "1"]


def test_the_default_random_generator_is_philox(tmp_path):
    source = tmp_path / "probe.cc"
    source.write_text("""
enum curandRngType { CURAND_RNG_PSEUDO_DEFAULT = 100, CURAND_RNG_PSEUDO_PHILOX4_32_10 = 161 };
#include "curand.h"
static_assert(CURAND_RNG_PSEUDO_DEFAULT == 161, "");
""")
    subprocess.run(["g++", "-fsyntax-only", f"-I{shim._HERE}/include", source], check=True)
