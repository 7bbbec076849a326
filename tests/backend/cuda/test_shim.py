from __future__ import annotations

import subprocess

import pytest

from ganzoo.backend.cuda import shim, toolkit
from ganzoo.errors import BackendError
from tests.backend.cuda import fakes


@pytest.fixture
def kit(tmp_path, monkeypatch) -> toolkit.Toolkit:
    """CUDA 13 and cuDNN 9, both in one folder."""
    monkeypatch.setattr(toolkit, "_wheels", list)
    nvcc = fakes.toolkit(tmp_path / "cuda", "13.0", {**fakes.LIBRARIES, **fakes.CUDNN_9})
    monkeypatch.setattr(toolkit, "_compilers", lambda: iter([nvcc]))
    (made,) = toolkit.candidates()
    return made


def test_libraries_have_the_names_that_jittor_asks_for(kit, tmp_path):
    home = shim.home(kit, tmp_path / "homes")
    real = tmp_path / "cuda/lib64"
    for name, number in {**fakes.LIBRARIES, **fakes.CUDNN_9}.items():
        assert (home / f"lib64/lib{name}.so").resolve() == real / f"lib{name}.so.{number}"
        assert (home / f"lib64/lib{name}.so.{number}").resolve() == real / f"lib{name}.so.{number}"
    for former, now in (("ops_infer", "ops"), ("ops_train", "ops"), ("cnn_infer", "cnn"), ("cnn_train", "cnn")):
        assert (home / f"lib64/libcudnn_{former}.so").resolve() == real / f"libcudnn_{now}.so.9"


def test_headers_are_the_toolkits_but_for_five_that_begin_with_them(kit, tmp_path):
    home = shim.home(kit, tmp_path / "homes")
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


def test_nvcc_is_called_for_cpp_17_and_for_newer_gpus(kit, tmp_path):
    nvcc = shim.home(kit, tmp_path / "homes") / "bin/nvcc"
    given = ["-std=c++14", "a file.cc", "-arch=compute_90", "-code=sm_90", '-DX="y z"', ""]
    said = subprocess.run([nvcc, *given], capture_output=True, text=True, check=True).stdout
    expected = ["-std=c++17", "a file.cc", "-arch=compute_90", "-code=sm_90,compute_90", '-DX="y z"', ""]
    assert said.split("\n")[:-1] == expected
    assert not nvcc.is_symlink()  # Jittor would look for headers beside what it links to


def test_a_home_is_made_once_and_another_for_other_libraries(kit, tmp_path):
    first = shim.home(kit, tmp_path / "homes")
    assert shim.home(kit, tmp_path / "homes") == first
    (tmp_path / "cuda/lib64/libcudnn_ops.so.9").write_text("a newer one")
    second = shim.home(kit, tmp_path / "homes")
    assert second != first
    assert sorted(path.name for path in (tmp_path / "homes").iterdir()) == sorted([first.name, second.name])


def test_a_folder_that_cant_be_written_is_told(kit):
    with pytest.raises(BackendError, match="/proc/homes is not writable"):
        shim.home(kit, toolkit.Path("/proc/homes"))


def test_numbers_of_16_bits_get_tensor_cores_and_sums_of_32_in_all_directions(tmp_path):
    """By line: sums, math type, and that of the algorithm which is taken forward and in the two backward directions.
    Float32 is never rounded to float16."""
    headers, source = shim._HERE / "include", toolkit.Path(__file__).with_name("math_types.cc")
    command = ["g++", "-std=c++17", "-w", f"-I{headers}", source, "-o", tmp_path / "probe"]
    subprocess.run(command, check=True)
    said = subprocess.run([tmp_path / "probe"], capture_output=True, text=True, check=True).stdout.split("\n")
    assert said[:-1] == ["0 0 0 0 0", "1", "0 1 1 1 1", "1", "0 1 1 1 1", "1"]


def test_numbers_are_drawn_by_the_generator_that_is_cheap_to_seed(tmp_path):
    source = tmp_path / "probe.cc"
    source.write_text("""
enum curandRngType { CURAND_RNG_PSEUDO_DEFAULT = 100, CURAND_RNG_PSEUDO_PHILOX4_32_10 = 161 };
#include "curand.h"
static_assert(CURAND_RNG_PSEUDO_DEFAULT == 161, "");
""")
    subprocess.run(["g++", "-fsyntax-only", f"-I{shim._HERE}/include", source], check=True)
