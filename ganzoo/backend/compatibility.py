"""Make Jittor 1.3.11 work on Python 3.13 and with NumPy 2, without changing its files.

Python 3.13: `locals()` no longer has the names that `exec` has bound in a function (PEP 667). Jittor imports its
compiled libraries that way, so two lines are replaced as its modules are loaded.

NumPy 2: the description of an array's type has another layout. Jittor declares this structure in its header
pyjt/numpy.h, so a corrected copy of the header comes before it in the include path, of kernels too. NumPy's C functions
are called through a table, in which one has moved and another reads more of its arguments than Jittor fills in. So
Jittor gets a copy of the table with these two corrected.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import functools
import hashlib
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ganzoo.errors import BackendError
from ganzoo.files import atomic_path

# Lines of Jittor's modules that read what `exec` has imported, and their replacements.
_LINES = {
    "jittor.compiler": ("mod = locals()[gen_name]", "mod = sys.modules[gen_name]"),
    "jittor_utils": ("mod = locals()[hash]", "mod = sys.modules[hash]"),
}
_HEADER = "pyjt/numpy.h"
_TABLE_MODULE = "numpy.core.multiarray"  # where Jittor looks for NumPy's table of C functions
TABLE_SIZE = 283  # Jittor uses entries 2 to 282
MOVED_FUNCTIONS = {82: 50}  # PyArray_CopyInto
CAST_SCALAR = 63  # PyArray_CastScalarToCtype
# Fields of NumPy's structure PyArray_Descr, in version 1 and in version 2.
_FIELDS_1 = r"char flags;\s+int type_num;\s+int elsize;\s+int alignment;"
_FIELDS_2 = "char unused; int type_num; uint64 flags; Py_ssize_t elsize; Py_ssize_t alignment;"


@functools.cache
def numpy_version() -> str:
    """Return the version of NumPy, or "" if it is not installed. NumPy is not imported."""
    try:
        return version("numpy")
    except PackageNotFoundError:
        return ""


def is_numpy_2() -> bool:
    """Whether NumPy has the layout of structures that came with version 2."""
    return numpy_version().partition(".")[0] not in ("", "0", "1")


def include_flag(jittor_folder: Path, cache: Path) -> str:
    """Return the compiler flag with which Jittor's sources find the header for this NumPy, '' if it is Jittor's own.
    The corrected header is written to `cache`. Raises BackendError if Jittor's header isn't as expected."""
    if not is_numpy_2():
        return ""
    try:
        original = (jittor_folder / "src" / _HEADER).read_text()
    except OSError as error:
        raise BackendError(f"Jittor is incomplete: {error.filename} can't be read. Install it anew.") from error
    text, count = re.subn(_FIELDS_1, _FIELDS_2, original)
    if count != 1:
        raise BackendError(f"NumPy {numpy_version()} needs another Jittor than the one in {jittor_folder}: use 1.3.11.")
    folder = cache / f"ganzoo-numpy2-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    header = folder / _HEADER
    if not header.exists():
        header.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(header) as temporary:
            temporary.write_text(text)
    return f'-I"{folder}"'


@contextlib.contextmanager
def patched_import() -> Iterator[None]:
    """Within the body, `import jittor` works with this Python and NumPy."""
    if sys.version_info >= (3, 13) and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    with _outside_notebook(), _numpy_functions():
        yield


@contextlib.contextmanager
def _outside_notebook() -> Iterator[None]:
    """Hide from Jittor that it is in a notebook, where it would print a line of its log at every start."""
    shell = vars(builtins).pop("get_ipython", None)
    try:
        yield
    finally:
        if shell is not None:
            vars(builtins)["get_ipython"] = shell


@contextlib.contextmanager
def _numpy_functions() -> Iterator[None]:
    """Let Jittor find NumPy 2's functions where it looks for those of NumPy 1."""
    if not is_numpy_2():
        yield
        return
    former = sys.modules.get(_TABLE_MODULE)
    sys.modules[_TABLE_MODULE] = _module_for_jittor()
    try:
        yield
    finally:  # other extensions, and pickles, need NumPy's own module
        del sys.modules[_TABLE_MODULE]
        if former is not None:
            sys.modules[_TABLE_MODULE] = former


@functools.cache
def _module_for_jittor() -> ModuleType:
    """Return a module whose _ARRAY_API is a copy of NumPy 2's table of C functions, with those of NumPy 1 that Jittor
    calls at the places where it looks for them."""
    get_pointer, new_capsule = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    address = get_pointer(importlib.import_module("numpy._core.multiarray")._ARRAY_API, None)
    assert address is not None
    table = (ctypes.c_void_p * TABLE_SIZE).from_buffer_copy((ctypes.c_void_p * TABLE_SIZE).from_address(address))
    for old, new in MOVED_FUNCTIONS.items():
        table[old] = table[new]
    table[CAST_SCALAR] = ctypes.cast(_CAST_SCALAR_FUNCTION, ctypes.c_void_p).value
    module: Any = ModuleType(_TABLE_MODULE)
    module.table = table  # must live as long as the capsule
    module._ARRAY_API = new_capsule(ctypes.addressof(table), None, None)
    return module


def _cast_scalar(scalar: Any, address: int, description: int) -> None:
    """Write a NumPy scalar as int32, the only type for which Jittor calls PyArray_CastScalarToCtype."""
    ctypes.c_int32.from_address(address).value = int(scalar)


# Jittor calls it as long as the process runs, so it must not be freed.
_CAST_SCALAR_FUNCTION = ctypes.PYFUNCTYPE(None, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)(_cast_scalar)


class _Finder(MetaPathFinder):
    """Finds the modules whose lines are replaced."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _LINES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    """Loads a module with a replaced line, from its source: bytecode caches belong to the unchanged source."""

    def get_code(self, fullname: str) -> CodeType:
        line, replacement = _LINES[fullname]
        source = self.get_data(self.path).decode()
        if line not in source:
            raise ImportError(f"{self.path} is not of Jittor 1.3.11, the only version that works on Python 3.13")
        return compile(source.replace(line, replacement), self.path, "exec", dont_inherit=True)
