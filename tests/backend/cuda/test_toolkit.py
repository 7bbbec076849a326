from __future__ import annotations

import pytest

from ganzoo.backend.cuda import shim, toolkit
from tests.backend.cuda import fakes

real_wheels = toolkit._wheels


@pytest.fixture(autouse=True)
def nothing_else_is_installed(monkeypatch, tmp_path):
    """Hide this machine's compilers and libraries."""
    monkeypatch.setattr(toolkit, "SYSTEM_LIBRARY_DIRS", (tmp_path / "usr/lib",))
    monkeypatch.setattr(toolkit, "SYSTEM_INCLUDE_DIRS", (tmp_path / "usr/include",))
    monkeypatch.setattr(toolkit, "DEFAULT_CUDA_HOME", tmp_path / "usr/local/cuda")
    monkeypatch.setattr(toolkit, "_wheels", lambda: [tmp_path / "wheels/cu13", tmp_path / "wheels/cudnn"])
    for name in ("nvcc_path", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")


def install(version: str, libraries: dict[str, int], tmp_path, without: tuple[str, ...] = ()) -> toolkit.Toolkit:
    fakes.toolkit(tmp_path / "usr/local/cuda", version, libraries, without)
    (kit,) = toolkit.candidates()
    return kit


def test_cuda_12_needs_cudnn_8_and_no_shim(tmp_path):
    kit = install("12.4", {**fakes.LIBRARIES, **fakes.CUDNN_8}, tmp_path)
    assert (kit.version, kit.needs_shim, toolkit.problem_with(kit)) == ((12, 4), False, None)


def test_cuda_13_needs_cudnn_9_and_the_shim(tmp_path):
    kit = install("13.0", {**fakes.LIBRARIES, **fakes.CUDNN_9}, tmp_path)
    assert (kit.version, kit.needs_shim, toolkit.problem_with(kit)) == ((13, 0), True, None)
    assert kit.cudnn == (9, 14, 0)
    assert str(kit) == f"CUDA 13.0 ({tmp_path}/usr/local/cuda/bin/nvcc), cuDNN 9.14.0"


@pytest.mark.parametrize(
    ("version", "cudnn", "lacks"),
    [("12.4", fakes.CUDNN_9, "libcudnn_ops_infer.so"), ("13.0", fakes.CUDNN_8, "libcudnn_ops.so")],
)
def test_a_wrong_version_of_cudnn_is_reported(tmp_path, version, cudnn, lacks):
    problem = toolkit.problem_with(install(version, {**fakes.LIBRARIES, **cudnn}, tmp_path))
    assert f"lacks {lacks}" in problem
    assert 'pip install "ganzoo[cuda13]"' in problem


def test_a_toolkit_without_libraries_is_reported(tmp_path):
    problem = toolkit.problem_with(install("12.4", {}, tmp_path))
    assert "lacks libcudart.so, libcublas.so, libcublasLt.so and more" in problem


@pytest.mark.parametrize("header", ["cudnn.h", "cusparse.h"])
def test_a_missing_header_is_reported(tmp_path, header):
    kit = install("13.0", {**fakes.LIBRARIES, **fakes.CUDNN_9}, tmp_path, without=(header,))
    assert f"lacks {header}" in toolkit.problem_with(kit)


def test_cuda_11_4_is_too_old(tmp_path):
    assert "too old" in toolkit.problem_with(install("11.4", {**fakes.LIBRARIES, **fakes.CUDNN_8}, tmp_path))


def test_wheels_provide_what_a_toolkit_of_cuda_13_lacks(tmp_path):
    fakes.toolkit(tmp_path / "wheels/cu13", "13.0", {})
    (tmp_path / "wheels/cu13/lib64").mkdir()
    for place, libraries in (("cu13", fakes.LIBRARIES), ("cudnn", fakes.CUDNN_9)):
        (tmp_path / "wheels" / place / "lib").mkdir(parents=True)
        for name, number in libraries.items():
            (tmp_path / "wheels" / place / f"lib/lib{name}.so.{number}").touch()
    installed = install_in_usr_local(tmp_path)
    assert [toolkit.problem_with(kit) for kit in installed] == [None, None]
    assert installed[0].find_library("cudnn_ops") == tmp_path / "wheels/cudnn/lib/libcudnn_ops.so.9"


def test_wheels_are_found_wherever_python_imports_from(monkeypatch, tmp_path):
    """The wheels may be in PYTHONPATH, in a folder of `pip install --target`, or among the system's packages."""
    for name in ("cu13", "cudnn"):
        (tmp_path / "elsewhere/nvidia" / name).mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert real_wheels()[:2] == [tmp_path / "elsewhere/nvidia/cu13", tmp_path / "elsewhere/nvidia/cudnn"]


def install_in_usr_local(tmp_path) -> list[toolkit.Toolkit]:
    fakes.toolkit(tmp_path / "usr/local/cuda", "13.0", {"cudart": 13})
    return toolkit.candidates()


def test_environment_variables_come_first(tmp_path, monkeypatch):
    compilers = [fakes.toolkit(tmp_path / name, "13.0", {}) for name in ("a", "b", "path", "usr/local/cuda")]
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("nvcc_path", str(compilers[0]))
    (tmp_path / "path/nvcc").symlink_to(compilers[2])
    assert [kit.nvcc for kit in toolkit.candidates()] == compilers


def test_a_script_on_path_stands_for_the_compiler_that_it_calls(tmp_path):
    real = fakes.toolkit(tmp_path / "opt/cuda", "13.0", {})
    script = tmp_path / "path/nvcc"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    script.chmod(0o755)
    assert [kit.nvcc for kit in toolkit.candidates()] == [real]


def test_a_child_finds_the_toolkit_behind_the_shim_of_its_parent(tmp_path, monkeypatch):
    kit = install("13.0", {**fakes.LIBRARIES, **fakes.CUDNN_9}, tmp_path)
    home = shim.make_cuda_home(kit, tmp_path / "homes")
    monkeypatch.setenv("nvcc_path", str(home / "bin/nvcc"))
    (kit_of_child,) = toolkit.candidates()
    assert kit_of_child == kit
    assert shim.make_cuda_home(kit_of_child, tmp_path / "homes") == home


def test_cudnn_of_the_package_manager_is_found(tmp_path):
    for name in fakes.CUDNN_9:
        (tmp_path / "usr/lib").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"usr/lib/lib{name}.so.9").touch()
    kit = install("13.0", fakes.LIBRARIES, tmp_path)
    assert toolkit.problem_with(kit) is None
    home = shim.make_cuda_home(kit, tmp_path / "homes")
    assert (home / "lib64/libcudnn_ops_infer.so").resolve() == tmp_path / "usr/lib/libcudnn_ops.so.9"


@pytest.mark.parametrize(("body", "reason"), [("exit 3", "status 3"), ("echo hello", "status 0")])
def test_a_compiler_without_a_version_is_reported(tmp_path, body, reason):
    nvcc = fakes.toolkit(tmp_path / "usr/local/cuda", "13.0", {})
    nvcc.write_text(f"#!/bin/sh\n{body}\n")
    (kit,) = toolkit.candidates()
    assert f"{nvcc} --version fails with {reason}" in toolkit.problem_with(kit)
