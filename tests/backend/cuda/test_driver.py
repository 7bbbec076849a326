from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from ganzoo.backend.cuda.driver import driver; print(driver())"


def driver_found_with(library: Path) -> str:
    """Return what `driver` finds in a process that loads this library as the driver."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def compile_driver(folder: Path, source: str) -> Path:
    path = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", path], input=source, text=True, check=True)
    return path


def test_a_gpu_is_described(tmp_path):
    source = (Path(__file__).parent / "stand_in/cuda.c").read_text()
    expected = "Driver(cuda=(13, 0), gpus=(GPU(name='Stand-in GPU', capability=(9, 0), memory=8589934592),))"
    assert driver_found_with(compile_driver(tmp_path, source)) == expected


@pytest.mark.parametrize(
    "source",
    [
        "int cuInit(unsigned flags) { return 100; }",  # CUDA_ERROR_NO_DEVICE
        "int cuInit(unsigned flags) { return 0; }",  # a driver without the functions that are called next
    ],
)
def test_a_driver_that_cannot_be_initialised_counts_as_none(tmp_path, source):
    assert driver_found_with(compile_driver(tmp_path, source)) == "None"


def test_a_file_that_is_not_a_library_counts_as_none(tmp_path):
    (tmp_path / "libcuda.so.1").write_text("not a library")
    assert driver_found_with(tmp_path / "libcuda.so.1") == "None"
