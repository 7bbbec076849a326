from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from ganzoo.backend import checks, environment
from ganzoo.errors import BackendError


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def refusal() -> str:
    with pytest.raises(BackendError) as told:
        checks.require_usable()
    message = str(told.value)
    assert "\n" not in message
    return message


def test_this_machine_is_usable():
    checks.require_usable()


def test_another_python_is_refused(monkeypatch):
    monkeypatch.setattr(checks.sys, "version_info", (3, 13, 0, "final", 0))
    assert "Python 3.13.0 can't run Jittor" in refusal()


@pytest.mark.parametrize(("version", "what"), [("2.1.0", "NumPy 2.1.0 breaks Jittor"), ("", "NumPy is not installed")])
def test_numpy_2_is_refused(monkeypatch, version, what):
    real = checks._version
    monkeypatch.setattr(checks, "_version", lambda name: version if name == "numpy" else real(name))
    message = refusal()
    assert what in message
    assert 'pip install "numpy<2"' in message


def test_a_missing_compiler_is_told(monkeypatch):
    monkeypatch.setenv("cc_path", "no-such-compiler")
    message = refusal()
    assert "no C++ compiler 'no-such-compiler'" in message
    assert "apt install g++" in message


def test_a_compiler_that_fails_is_told_with_its_own_error(monkeypatch, tmp_path):
    broken = script(tmp_path / "g++", "echo 'fatal error: Python.h: No such file' >&2; exit 1")
    monkeypatch.setenv("cc_path", str(broken))
    assert "Python.h" in checks.compiler_works().problem


def test_the_compiler_here_works():
    assert not checks.compiler_works().problem


def test_a_home_that_cannot_be_written_is_told(monkeypatch):
    monkeypatch.setenv("HOME", "/proc")
    message = refusal()
    assert "/proc/.cache/jittor can't be written" in message
    assert "Set HOME" in message


def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(checks, "NEEDED_SPACE", 1 << 60)
    assert "are free in" in refusal()


def test_missing_onednn_is_told_before_jittor_downloads_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None)
    assert "pip install jittor-offline==0.0.7" in refusal()


def test_cuda_without_a_gpu_is_refused_and_auto_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(environment, "gpu_count", lambda: 0)
    with pytest.raises(BackendError, match="--device cuda: the NVIDIA driver shows no GPU"):
        environment.choose_device("cuda")
    assert environment.choose_device("auto") == environment.choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("body", "why"), [("exit 3", "fails with status 3"), ("echo nonsense", "fails"), (None, "does not run")]
)
def test_a_broken_nvcc_is_told(monkeypatch, tmp_path, body, why):
    compiler = tmp_path / "nvcc"
    if body is not None:
        script(compiler, body)
    monkeypatch.setattr(environment, "gpu_count", lambda: 1)
    monkeypatch.setenv("nvcc_path", str(compiler))
    with pytest.raises(BackendError, match=why):
        environment.choose_device("cuda")
    assert environment.choose_device("auto") == "cpu"
    assert why in checks.gpu().problem
    assert not checks.gpu().fatal


def test_caches_of_cpu_and_cuda_never_mix(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    environment.prepare("cpu")
    assert environment.os.environ["nvcc_path"] == ""
    names = {environment.os.environ["cache_name"]}
    environment.prepare("cuda")
    assert len(names | {environment.os.environ["cache_name"]}) == 2


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    for given, expected in ((None, "passive"), ("active", "active")):
        monkeypatch.setattr(
            os, "environ", {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        )
        if given:
            os.environ["OMP_WAIT_POLICY"] = given
        environment.prepare("cpu")
        assert os.environ["OMP_WAIT_POLICY"] == expected


def test_the_mark_of_a_built_core_holds_for_this_python_only(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    environment.cache_dir().mkdir(parents=True)
    assert not environment.core_is_built("cpu")
    environment.mark_built("cpu")
    assert environment.core_is_built("cpu")
    assert not environment.core_is_built("cuda")
    monkeypatch.setattr(sys, "version", "another")
    assert not environment.core_is_built("cpu")
