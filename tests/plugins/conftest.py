"""A temporary virtual environment into which a test installs a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest


class VirtualEnvironment:
    """A virtual environment that also finds the packages of the current one, so that Jittor's kernels are reused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        current = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
        # addsitedir also reads .pth files, through which an editable ganzoo is found.
        lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(current)]
        # sys.executable is part of each kernel's key: with a new path, Jittor would recompile all kernels and
        # overwrite the existing ones.
        lines.append(f"import sys; sys.executable = {sys.executable!r}")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "lib" / version / "site-packages" / "parent.pth").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: object, cwd: Path | None = None, status: int = 0) -> str:
        """Return the output of `python ARGUMENTS`, stderr included. The exit status must be `status`."""
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GANZOO_PLUGINS")
        }
        child = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=cwd or self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert child.returncode == status, f"{' '.join(map(str, arguments))}\n{child.stdout}"
        return child.stdout

    def install(self, *source: object) -> None:
        """Run pip install without the network: the current environment has everything needed to build."""
        self.run(
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", "--no-build-isolation", *source),
        )


@pytest.fixture
def virtualenv(tmp_path: Path) -> VirtualEnvironment:
    return VirtualEnvironment(tmp_path / "environment")
