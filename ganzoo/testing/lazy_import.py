"""The part of the contract test about imports: importing a model must not import Jittor."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from ganzoo.interfaces.model import Model
from ganzoo.testing.requirement import require

# Run in a child process: import a module, and at the first attempt to import Jittor, print the line to blame and exit.
_IMPORT = """
import importlib, os, sys, traceback
import ganzoo.backend
hidden = (os.path.dirname(ganzoo.__file__) + os.sep, os.path.dirname(importlib.__file__) + os.sep, "<")
def report(*ignored):
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(hidden)]
    print("JITTOR:" + (f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "somewhere"), flush=True)
    os._exit(3)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jittor":
            report()
sys.meta_path.insert(0, Finder())
ganzoo.backend.start = ganzoo.backend.jittor = report
importlib.import_module(sys.argv[1])
"""


def check_lazy_import(model: Model) -> None:
    """Check that the model's module does not import Jittor, because every `--help` imports that module."""
    module = type(model).__module__
    if module == "__main__":
        return
    where, failure = _import_alone(module)
    require(not where, f"{module} imports Jittor when it is imported ({where}); do it inside `build`.")
    require(not failure, f"{module} can't be imported by itself: {failure}")


@functools.cache
def _import_alone(module: str) -> tuple[str, str]:
    """Return where a module imports Jittor ('' if it doesn't), and why its import fails ('' if it doesn't)."""
    child = subprocess.run(
        [sys.executable, "-c", _IMPORT, module],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
    return child.stdout.partition("JITTOR:")[2].strip(), last if child.returncode else ""
