"""Jittor works with NumPy 2 and on Python 3.13, although it was written for neither."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ganzoo.backend import compatibility, environment
from ganzoo.errors import BackendError

JITTOR_FOLDER = environment._jittor_init().parent
CPU = environment.DeviceChoice("cpu", "")


@pytest.fixture
def numpy_is(monkeypatch):
    """Return a function that pretends that another version of NumPy is installed."""
    return lambda version: monkeypatch.setattr(compatibility, "numpy_version", lambda: version)


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"])
def test_arrays_keep_their_values_in_both_directions(jittor, kind):
    array = np.arange(-3, 9).reshape(3, 4).astype(kind)
    var = jittor.array(array)
    assert str(var.dtype) == {"int64": "int32", "float64": "float32"}.get(kind, kind)  # jt.array narrows them
    np.testing.assert_array_equal(var.numpy(), array)
    np.testing.assert_array_equal(jittor.array(array.T).numpy(), array.T)  # not contiguous


def test_a_numpy_number_is_an_index(jittor):
    var = jittor.array(np.arange(5))
    assert [var[kind(3)].item() for kind in (np.int64, np.int32, np.uint8)] == [3, 3, 3]


def test_jittor_finds_numpys_functions_where_it_looks_for_them():
    """Compares the places in NumPy's table of functions that Jittor reads with those in NumPy's headers."""
    used = dict(re.findall(r"fill\((\w+), (\d+)\);", (JITTOR_FOLDER / "src/pyjt/numpy.cc").read_text()))
    api = Path(np.get_include(), "numpy/__multiarray_api.h").read_text()
    places = dict(re.findall(r"#define (Py\w+)\s(?:(?!#define).)*?PyArray_API\[(\d+)\]", api, re.S))
    moved = compatibility.MOVED_FUNCTIONS if compatibility.is_numpy_2() else {}
    assert len(used) == 10
    assert {name: moved.get(int(place), int(place)) for name, place in used.items()} == {
        name: int(places[name]) for name in used
    }
    assert max(map(int, used.values())) < compatibility.TABLE_SIZE


def test_numpys_own_module_stays_importable(jittor):
    """Old pickles refer to numpy.core.multiarray."""
    old = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR."
    assert pickle.loads(old).shape == (0,)


def test_jittors_structure_of_an_array_type_is_numpys(tmp_path):
    """Compares the structure that Jittor is compiled with, for the installed NumPy, with NumPy's own headers."""
    flag = compatibility.include_flag(JITTOR_FOLDER, tmp_path)
    folder = Path(flag.removeprefix("-I").strip('"')) if flag else JITTOR_FOLDER / "src"
    structure = re.search(r"struct PyArrayDescr_Proxy \{.*?\};", (folder / "pyjt/numpy.h").read_text(), re.S)[0]
    names = "typeobj", "kind", "type", "byteorder", "type_num", "elsize"
    real = "_PyArray_DescrNumPy2" if compatibility.is_numpy_2() else "PyArray_Descr"
    source = tmp_path / "probe.cc"
    source.write_text(
        "#include <Python.h>\n#include <cstddef>\n#include <numpy/ndarraytypes.h>\ntypedef uint64_t uint64;\n"
        + structure
        + "".join(
            f'\nstatic_assert(offsetof(PyArrayDescr_Proxy, {name}) == offsetof({real}, {name}), "{name}");'
            f'\nstatic_assert(sizeof(PyArrayDescr_Proxy::{name}) == sizeof({real}::{name}), "{name}");'
            for name in names
        )
    )
    includes = [f"-I{folder}" for folder in (np.get_include(), sysconfig.get_path("include"))]
    subprocess.run(["g++", "-std=c++14", "-fsyntax-only", "-w", *includes, source], check=True)


def test_numpy_1_uses_jittors_own_header(numpy_is, tmp_path):
    numpy_is("1.26.4")
    assert compatibility.include_flag(JITTOR_FOLDER, tmp_path) == ""
    assert not list(tmp_path.iterdir())


def test_an_unknown_jittor_is_refused_with_numpy_2(numpy_is, tmp_path):
    numpy_is("2.1.0")
    header = tmp_path / "jittor/src/pyjt/numpy.h"
    with pytest.raises(BackendError, match=r"numpy\.h can't be read"):
        compatibility.include_flag(tmp_path / "jittor", tmp_path)
    header.parent.mkdir(parents=True)
    header.write_text("struct PyArrayDescr_Proxy { int elsize; };")
    with pytest.raises(BackendError, match=r"NumPy 2\.1\.0 needs another Jittor .*use 1\.3\.11"):
        compatibility.include_flag(tmp_path / "jittor", tmp_path)


def test_numpy_1_and_2_have_caches_of_their_own(numpy_is):
    names = set()
    for version in ("1.26.4", "2.0.0", "2.5.5"):
        numpy_is(version)
        names |= {environment.cache_name(device) for device in ("cpu", "cuda")}
    assert len(names) == 4


def test_the_users_compiler_flags_are_kept(numpy_is, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {**os.environ, "JITTOR_HOME": str(tmp_path), "cc_flags": "-O1"})
    numpy_is("2.1.0")
    for _ in range(2):  # a child process inherits the flags
        environment.prepare(CPU)
        first, last = os.environ["cc_flags"].split()
        assert Path(first.removeprefix("-I").strip('"'), "pyjt/numpy.h").is_file()
        assert last == "-O1"


def load_module(tmp_path: Path, name: str, source: str) -> dict[str, object]:
    """Load a module as one of those of Jittor whose lines are replaced."""
    path = tmp_path / "module.py"
    path.write_text(textwrap.dedent(source))
    namespace: dict[str, object] = {"sys": sys}
    exec(compatibility._Loader(name, str(path)).get_code(name), namespace)
    return namespace


def test_a_module_that_exec_imported_is_found(tmp_path):
    source = """
        def compile_module(hash):
            exec(f"import {hash}")
            mod = locals()[hash]
            return mod
    """
    function = load_module(tmp_path, "jittor_utils", source)["compile_module"]
    assert function("textwrap") is textwrap
    assert not list(tmp_path.rglob("*.pyc"))


def test_another_source_is_refused(tmp_path):
    with pytest.raises(ImportError, match=r"module\.py is not of Jittor 1\.3\.11"):
        load_module(tmp_path, "jittor.compiler", "pass")


@pytest.mark.parametrize("name", compatibility._LINES)
def test_the_lines_to_replace_are_in_jittor(name):
    relative = "jittor/compiler.py" if name == "jittor.compiler" else "jittor_utils/__init__.py"
    path = JITTOR_FOLDER.parent / relative
    code = compatibility._Loader(name, str(path)).get_code(name)
    assert code.co_filename == str(path)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the finder is installed from Python 3.13 on")
def test_the_import_of_jittor_uses_the_finder(jittor):
    import jittor_utils

    assert isinstance(jittor_utils.__spec__.loader, compatibility._Loader)
    assert isinstance(jittor.compiler.__spec__.loader, compatibility._Loader)
    assert sum(isinstance(finder, compatibility._Finder) for finder in sys.meta_path) == 1
