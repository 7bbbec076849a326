"""A temporary virtual environment into which a test installs a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest


class Throwaway:
    """A virtual environment that also sees everything that ours has: Jittor stays where it is, and so do the kernels
    that it has compiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        ours = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
        # addsitedir and not just the paths: our own .pth files count, too (an editable ganzoo is found by one).
        lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(ours)]
        # Jittor writes sys.executable into the key of each kernel, and would recompile them all for a new path,
        # over the ones that it has.
        lines.append(f"import sys; sys.executable = {sys.executable!r}")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "lib" / version / "site-packages" / "parent.pth").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: object, cwd: Path | None = None, status: int = 0) -> str:
        """Return the output of `python ARGUMENTS`, stderr included. The test fails if the exit status differs."""
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
        """pip install, without the network: everything that is needed to build is in our environment."""
        self.run(
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", "--no-build-isolation", *source),
        )


@pytest.fixture
def throwaway(tmp_path: Path) -> Throwaway:
    return Throwaway(tmp_path / "environment")
