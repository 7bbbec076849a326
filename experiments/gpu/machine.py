"""Reports facts about the machine, and builds Jittor's core on it. All steps of a session share `kit`."""

from __future__ import annotations

import configparser
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

import kit

VARIABLES = ("CUDA", "LD_", "PYTHON", "NVIDIA", "OMP", "NVCC", "CPATH", "LIBRARY_PATH", "CC", "CXX", "CFLAGS", "TORCH")
PACKAGES = ("numpy", "lmdb", "astunparse", "click", "pluggy", "pillow", "matplotlib", "safetensors", "tqdm", "torch")


def output(*command: str) -> str:
    """Return the output of a command, or why it could not be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"({problem})"
    return (done.stdout + done.stderr).strip()


def facts() -> None:
    """Report hardware and software, before anything else can fail."""
    memory = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
    processor = Path("/proc/cpuinfo").read_text()
    names = [line.split(": ")[1] for line in processor.splitlines() if line.startswith("model name")]
    kit.report(
        "machine",
        cores=len(os.sched_getaffinity(0)),
        memory_gb=int(memory) / 2**20,
        cpu=names[0] if names else platform.machine(),
        avx512="avx512f" in processor,
        kernel=platform.release(),
        disk_gb=shutil.disk_usage(kit.WORK).free / 2**30,
        python=sys.version,
        header=Path(sysconfig.get_path("include"), "Python.h").exists(),
    )
    toolkits = sorted(Path("/usr/local").glob("cuda*"))
    kit.report(
        "compilers",
        gxx=output("g++", "--version").split("\n")[0],
        nvcc=output("nvcc", "--version").split("\n")[-2:],
        gold=shutil.which("ld.gold"),
        toolkits=toolkits,
        cccl=[path.name for path in toolkits if (path / "include/cccl/cub/cub.cuh").exists()],
    )
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    kit.report("gpu", smi=output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"))
    kit.report("environment", **{name: value for name, value in os.environ.items() if name.startswith(VARIABLES)})
    kit.report("packages", **{name: _version(name) for name in PACKAGES})


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def site(folder: str) -> None:
    """Register ganzoo's entry points in `folder` without an installation, and write a python-config there. If the
    machine has no Python headers, unpack those in the bundle that prepare.sh made."""
    setup = configparser.ConfigParser()
    setup.read(kit.ROOT / "setup.cfg")
    source = (kit.ROOT / "ganzoo/__init__.py").read_text()
    version = source.split('__version__ = "')[1].split('"')[0]
    info = Path(folder, f"ganzoo-{version}.dist-info")
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ganzoo\nVersion: {version}\n")
    groups = setup["options.entry_points"].items()
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{text.strip()}\n\n" for group, text in groups))
    include, bundled = Path(sysconfig.get_path("include")), kit.BUNDLE / "include.tar.xz"
    if not (include / "Python.h").exists() and bundled.exists():
        subprocess.run(["tar", "-xJf", str(bundled), "-C", folder], check=True)
        include = Path(folder, "include")
    config = Path(folder, "python-config")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    config.write_text(
        f'#!/bin/sh\ncase "$1" in\n--includes) echo "-I{include}";;\n--extension-suffix) echo "{suffix}";;\nesac\n'
    )
    config.chmod(0o755)


def core() -> None:
    """Build Jittor's core unless it is built, and run one kernel."""
    from ganzoo.backend import environment
    from ganzoo.backend.cuda.driver import driver
    from ganzoo.backend.cuda.toolkit import candidates, problem_with

    kit.report("driver", found=str(driver()))
    for toolkit in candidates():
        kit.report("toolkit", toolkit=str(toolkit), fault=problem_with(toolkit))
    kit.report("choice", because=environment.choose_device("auto").reason)
    began = time.perf_counter()
    backend = kit.start(kit.DEFAULT_PRECISION)
    jt = backend.jittor()
    values = (jt.array([[1.0, 2.0], [3.0, 4.0]]) * 2).numpy().tolist()
    if values != [[2.0, 4.0], [6.0, 8.0]]:
        raise RuntimeError(f"the first kernel computes {values}")
    flags = jt.flags
    kit.report(
        "core",
        seconds=time.perf_counter() - began,
        device=backend.device(),
        cache=str(flags.cache_path),
        architectures=list(getattr(flags, "cuda_archs", [])),
        nvcc_flags=str(flags.nvcc_flags)[-400:],
    )
    (kit.WORK / "cache-path").write_text(str(flags.cache_path))
