from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganzoo import backend
from ganzoo.backend import checks, environment
from ganzoo.backend.cuda import toolkit
from ganzoo.backend.cuda.driver import GPU, Driver
from ganzoo.errors import BackendError
from ganzoo.interfaces.options import options_by_name
from ganzoo.interfaces.train_options import TrainOptions


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def startup_error() -> str:
    """Return the message of the error with which `start` would stop."""
    with pytest.raises(BackendError) as error:
        checks.require_usable("cpu")
    message = str(error.value)
    assert "\n" not in message
    return message


def test_this_machine_is_usable():
    checks.require_usable("cpu")


def test_an_unsupported_python_version_is_refused(monkeypatch):
    monkeypatch.setattr(checks.sys, "version_info", (3, 14, 0, "final", 0))
    assert "Python 3.14.0 can't run ganzoo. Use Python 3.10 to 3.13" in startup_error()


def test_a_missing_numpy_is_reported(monkeypatch):
    real = checks._version
    monkeypatch.setattr(checks, "_version", lambda name: "" if name == "numpy" else real(name))
    assert startup_error() == "NumPy is not installed. Run: pip install numpy"


@pytest.mark.parametrize(
    ("python", "numpy", "command"),
    [
        ((3, 12), "1.26.4", "pip install jittor==1.3.11.0 jittor-offline==0.0.7"),
        ((3, 12), "2.1.0", "pip install --no-deps jittor==1.3.11.0 jittor-offline==0.0.7"),
        ((3, 13), "2.1.0", "pip install --no-deps jittor==1.3.11.0 jittor-offline==0.0.7"),
    ],
)
def test_a_missing_jittor_is_installed_without_its_dependencies_where_they_do_not_fit(
    monkeypatch, python, numpy, command
):
    """Jittor requires NumPy 1."""
    real = checks._version
    monkeypatch.setattr(checks, "_version", lambda name: "" if name == "jittor" else real(name))
    monkeypatch.setattr(checks.sys, "version_info", (*python, 0, "final", 0))
    monkeypatch.setattr(checks.compatibility, "numpy_version", lambda: numpy)
    assert startup_error() == f"Jittor is not installed. Run: {command}"


@pytest.mark.parametrize("name", ["ho me", "o'hara", "a&b", "c$d", "e\tf"])
@pytest.mark.parametrize("variable", ["HOME", "JITTOR_HOME"])
def test_a_path_with_shell_characters_is_refused(monkeypatch, tmp_path, name, variable):
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    (tmp_path / name).mkdir()
    monkeypatch.setenv(variable, str(tmp_path / name))
    message = startup_error()
    assert message.startswith(f"{tmp_path / name}: Jittor can't compile")
    assert "JITTOR_HOME" in message
    assert not list((tmp_path / name).iterdir())


def test_an_unusual_path_that_works_is_not_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    (tmp_path / "ü-中.1+2=3@x,y:z").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "ü-中.1+2=3@x,y:z"))
    assert checks.cache_path().problem == ""


def test_jittor_in_a_folder_with_a_space_is_refused(monkeypatch, tmp_path):
    origin = tmp_path / "my projects" / "jittor" / "__init__.py"
    monkeypatch.setattr(checks.util, "find_spec", lambda name: SimpleNamespace(origin=str(origin)))
    assert "my projects/jittor: Jittor can't compile in a folder with a space in its path" in startup_error()


def test_a_missing_compiler_is_reported(monkeypatch):
    monkeypatch.setenv("cc_path", "no-such-compiler")
    message = startup_error()
    assert "C++ compiler 'no-such-compiler' not found" in message
    assert "apt install g++" in message


def test_a_failing_compiler_is_reported_with_its_error_message(monkeypatch, tmp_path):
    broken = script(tmp_path / "g++", "echo 'fatal error: Python.h: No such file' >&2; exit 1")
    monkeypatch.setenv("cc_path", str(broken))
    assert "Python.h" in checks.compiler_works().problem


def test_the_compiler_here_works():
    assert not checks.compiler_works().problem


def test_an_unwritable_home_is_reported(monkeypatch):
    monkeypatch.setenv("HOME", "/proc")
    message = startup_error()
    assert "/proc/.cache/jittor is not writable" in message
    assert "Set JITTOR_HOME" in message


def test_checking_a_missing_cache_creates_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    assert not checks.cache_writable().problem
    assert not list(tmp_path.iterdir())


def test_an_unwritable_data_directory_is_not_fatal(monkeypatch, tmp_path):
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    assert not checks.data_writable().problem
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("GANZOO_DATA", "/proc/x")
    finding = checks.data_writable()
    assert finding.problem.startswith("/proc/x is not writable (No such file or directory)")
    assert "GANZOO_DATA" in finding.remedy
    assert not finding.fatal


def test_a_full_disk_is_reported(monkeypatch):
    monkeypatch.setattr(checks, "NEEDED_SPACE", 1 << 60)
    assert "are free in" in startup_error()


def test_missing_onednn_is_reported_before_jittor_downloads_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None)
    assert re.search(r"Run: pip install( --no-deps)? jittor-offline==0\.0\.7$", startup_error())


def test_cuda_does_not_need_onednn(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    real = checks.util.find_spec
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None if name == "jittor_offline" else real(name))
    checks.require_usable("cuda")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    environment.prepare(environment.DeviceChoice("cuda", "", None, toolkit.Toolkit(tmp_path / "nvcc", (12, 4), (), ())))
    assert os.environ["use_mkl"] == "0"


def test_a_python_without_its_config_program_gets_a_script_in_its_place(monkeypatch, tmp_path):
    name = "python9.9-config"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    monkeypatch.setattr(environment.sys, "version_info", (9, 9))
    config = environment._python_config()
    assert config == str(tmp_path / f".cache/jittor/ganzoo-{name}")
    monkeypatch.undo()
    answers = {
        flag: subprocess.check_output([config, flag], text=True) for flag in ("--includes", "--extension-suffix")
    }
    assert (Path(answers["--includes"].split()[0].removeprefix("-I")) / "Python.h").exists()
    assert answers["--extension-suffix"].strip() == sysconfig.get_config_var("EXT_SUFFIX")


def test_cuda_settings_avoid_waiting_and_limit_the_workspace():
    """The settings are checked on a stand-in for the jittor module."""
    settings: dict[str, float] = {}
    cudnn = SimpleNamespace(
        set_algorithm_cache_size=lambda count: settings.update(cache=count),
        set_max_workspace_ratio=lambda ratio: settings.update(ratio=ratio),
    )
    core = SimpleNamespace(get_mem_info=lambda: SimpleNamespace(total_cuda_ram=80 << 30))
    jittor = SimpleNamespace(has_cuda=1, flags=SimpleNamespace(), cudnn=cudnn, core=core)
    backend._use_cuda(jittor)
    assert jittor.flags.use_cuda_host_allocator == 0
    assert settings["ratio"] * (80 << 30) == backend.WORKSPACE


CPU = environment.DeviceChoice("cpu", "")


def test_cuda_without_a_gpu_is_refused_and_auto_chooses_the_cpu(monkeypatch):
    for found in (None, Driver((13, 0), ())):
        monkeypatch.setattr(environment, "driver", lambda found=found: found)
        with pytest.raises(BackendError, match="--device cuda: the NVIDIA driver shows no GPU") as error:
            environment.choose_device("cuda")
        assert "\n" not in str(error.value)
        assert environment.choose_device("auto").device == environment.choose_device("cpu").device == "cpu"
        assert "shows no GPU" in environment.choose_device("auto").reason


@pytest.mark.parametrize(("body", "reason"), [("exit 3", "fails with status 3"), ("echo nonsense", "fails")])
def test_a_broken_nvcc_is_reported(monkeypatch, tmp_path, body, reason):
    monkeypatch.setattr(environment, "driver", lambda: Driver((13, 0), (GPU("Some GPU", (9, 0), 1 << 34),)))
    monkeypatch.setattr(toolkit, "_compilers", lambda: iter([script(tmp_path / "nvcc", body)]))
    monkeypatch.setattr(checks, "driver", environment.driver)
    with pytest.raises(BackendError, match=reason):
        environment.choose_device("cuda")
    assert environment.choose_device("auto").device == "cpu"
    assert reason in environment.choose_device("auto").reason
    assert reason in checks.gpu().problem
    assert not checks.gpu().fatal
    assert [reason in finding.problem for finding in checks.toolkits()] == [True]


def test_cpu_and_cuda_have_separate_caches(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    environment.prepare(CPU)
    assert os.environ["nvcc_path"] == ""
    names = {os.environ["cache_name"]}
    kit = toolkit.Toolkit(tmp_path / "nvcc", (12, 4), (), ())
    environment.prepare(environment.DeviceChoice("cuda", "", None, kit))
    assert os.environ["nvcc_path"] == str(tmp_path / "nvcc")
    assert len(names | {os.environ["cache_name"]}) == 2


def test_virtual_environments_have_separate_caches(monkeypatch):
    """Otherwise each environment would recompile the other's core, and end the other's processes that are starting."""
    names = set()
    for path in ("/a/jittor/__init__.py", "/b/jittor/__init__.py"):
        specification = SimpleNamespace(origin=path)
        monkeypatch.setattr(environment.util, "find_spec", lambda _, found=specification: found)
        names |= {environment.cache_name("cpu"), environment.cache_name("cuda")}
    assert len(names) == 4


def test_processors_with_other_instructions_have_separate_caches(monkeypatch):
    """Two virtual machines with one home can have processors of the same name, of which only one has AVX-512."""
    found = []
    for flags in ({"avx2", "fma"}, {"avx2", "fma", "avx512f"}, {"avx2", "fma", "ibpb"}):
        monkeypatch.setattr(environment, "processor_flags", lambda given=flags: given)
        found.append(environment.cache_name("cpu"))
    assert found[0] == found[2] != found[1], "an update of Linux, which may add other flags, should not recompile all"


NEW, OLD = GPU("New GPU", (9, 0), 1 << 34), GPU("Old GPU", (6, 1), 1 << 33)


def choose(monkeypatch, tmp_path, found: Driver, *versions: tuple[int, int], precision: str = "tf32"):
    """Return the automatic choice of a device when complete toolkits of these versions are installed."""
    kits = [toolkit.Toolkit(tmp_path / str(version), version, (), ()) for version in versions]
    monkeypatch.setattr(environment, "driver", lambda: found)
    monkeypatch.setattr(environment, "candidates", lambda: kits)
    return environment.choose_device("auto", precision)


def test_a_toolkit_that_the_driver_and_gpus_support_is_chosen(monkeypatch, tmp_path):
    driver = Driver((13, 0), (NEW,))
    assert choose(monkeypatch, tmp_path, driver, (13, 0), (12, 4)).toolkit.version == (13, 0)
    assert choose(monkeypatch, tmp_path, driver, (12, 4), (13, 0)).toolkit.version == (12, 4)
    assert choose(monkeypatch, tmp_path, driver, (12, 4), (13, 0), precision="amp").toolkit.version == (13, 0)
    assert choose(monkeypatch, tmp_path, Driver((12, 6), (NEW,)), (13, 0), (12, 4)).toolkit.version == (12, 4)
    assert choose(monkeypatch, tmp_path, Driver((13, 0), (OLD,)), (13, 0), (12, 4)).toolkit.version == (12, 4)


@pytest.mark.parametrize(
    ("found", "versions", "reason"),
    [
        (Driver((12, 6), (NEW,)), [(13, 0)], "runs CUDA 12.6 at most, not CUDA 13.0 .*; update it to 580 or newer"),
        (
            Driver((13, 0), (OLD,)),
            [(13, 0)],
            "Old GPU has compute capability 6.1, but CUDA 13 needs at least 7.5; use CUDA 12",
        ),
        (Driver((13, 0), (NEW,)), [], r"no CUDA compiler; run: pip install \"ganzoo\[cuda13\]\""),
    ],
)
def test_an_unusable_gpu_is_reported_with_a_remedy(monkeypatch, tmp_path, found, versions, reason):
    choice = choose(monkeypatch, tmp_path, found, *versions)
    assert choice.device == "cpu"
    assert re.search(reason, choice.reason)
    with pytest.raises(BackendError, match=f"--device cuda: .*{reason}"):
        environment.choose_device("cuda")


def test_processes_dont_share_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    with pytest.raises(BackendError, match=r"2 processes can't share 1 GPU\(s\)"):
        choose(monkeypatch, tmp_path, Driver((13, 0), (NEW,)), (13, 0))
    assert choose(monkeypatch, tmp_path, Driver((13, 0), (NEW, NEW)), (13, 0)).device == "cuda"


def test_the_precision_option_offers_all_precisions_of_the_backend():
    assert options_by_name(TrainOptions)["precision"].choices == environment.PRECISIONS


def test_tf32_is_switched_off_for_float32_only(monkeypatch, tmp_path):
    kit = toolkit.Toolkit(tmp_path / "nvcc", (12, 4), (), ())
    for precision, expected in (("tf32", None), ("amp", None), ("fp32", "0")):
        monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "NVIDIA_TF32_OVERRIDE"})
        environment.prepare(environment.DeviceChoice("cuda", "", None, kit), precision)
        assert os.environ.get("NVIDIA_TF32_OVERRIDE") == expected


@pytest.mark.parametrize(
    ("cuda", "capability", "reason"),
    [
        ((12, 4), (9, 0), "needs CUDA 13"),
        ((13, 0), (7, 5), "Some GPU doesn't support bfloat16"),
        ((13, 0), (8, 0), None),
    ],
)
def test_mixed_precision_is_refused_where_unsupported(tmp_path, cuda, capability, reason):
    kit = toolkit.Toolkit(tmp_path / "nvcc", cuda, (), ())
    choice = environment.DeviceChoice("cuda", "", GPU("Some GPU", capability, 1 << 34), kit)
    for precision in ("tf32", "fp32"):
        environment.require_precision(choice, precision)
    if reason is None:
        environment.require_precision(choice, "amp")
    else:
        with pytest.raises(BackendError, match=f"--precision amp: .*{reason}"):
            environment.require_precision(choice, "amp")


@pytest.mark.parametrize("flags", ["fpu avx512f avx512_bf16", "fpu amx_tile amx_bf16", ""])
def test_mixed_precision_on_the_cpu_needs_amx(monkeypatch, flags):
    monkeypatch.setattr(environment, "processor_flags", lambda: set(flags.split()))
    monkeypatch.setattr(environment, "amx_available", environment.amx_available.__wrapped__)
    with pytest.raises(BackendError, match="--precision amp: this processor has no AMX instructions; use --prec"):
        environment.require_precision(CPU, "amp")
    for precision in ("tf32", "fp32"):
        environment.require_precision(CPU, precision)


@pytest.mark.parametrize(
    ("status", "limit", "available"),
    [(0, "", True), (-1, "", False), (0, "AVX512_CORE_AMX", True), (0, "AVX2", False)],
    ids=["allowed", "not by Linux", "limit with AMX", "not by the user's limit"],
)
def test_mixed_precision_on_the_cpu_needs_permission(monkeypatch, status, limit, available):
    flags = {"amx_tile", "amx_bf16", "avx512_bf16"}
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    if limit:
        monkeypatch.setenv("DNNL_MAX_CPU_ISA", limit)
    monkeypatch.setattr(environment, "processor_flags", lambda: flags)
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.ctypes, "CDLL", lambda _: SimpleNamespace(syscall=lambda *_: status))
    assert environment.amx_available.__wrapped__() is available


def test_several_processes_on_gpus_need_nccl(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {**os.environ, "OMPI_COMM_WORLD_SIZE": "2"})
    kit = toolkit.Toolkit(tmp_path / "nvcc", (12, 4), (tmp_path,), (tmp_path,))
    choice = environment.DeviceChoice("cuda", "", None, kit)
    with pytest.raises(BackendError, match=r"NCCL.*pip install \"ganzoo\[cuda13\]\""):
        environment.prepare(choice)
    for name in ("nccl.h", "libnccl.so.2"):
        (tmp_path / name).touch()
    environment.prepare(choice)
    assert os.environ["nccl_include_path"] == os.environ["nccl_lib_path"] == str(tmp_path)


def test_the_environment_without_mpi_has_no_mpi_variables(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "1", "HOME": "/somewhere"})
    assert environment.without_mpi() == {"HOME": "/somewhere"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}),
        ({"OMP_WAIT_POLICY": "passive"}, {"OMP_WAIT_POLICY": "passive"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "7"}),
    ],
)
def test_waiting_threads_soon_sleep_unless_the_user_says_otherwise(monkeypatch, given, expected):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    others = {name: value for name, value in os.environ.items() if name not in names}
    monkeypatch.setattr(os, "environ", {**others, **given})
    environment.prepare(CPU)
    assert {name: os.environ[name] for name in names if name in os.environ} == expected


def test_a_core_counts_as_built_only_for_the_python_that_built_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    environment.cache_dir().mkdir(parents=True)
    assert not environment.core_is_built("cpu")
    environment.mark_built("cpu")
    assert environment.core_is_built("cpu")
    assert not environment.core_is_built("cuda")
    monkeypatch.setattr(sys, "version", "another")
    assert not environment.core_is_built("cpu")
