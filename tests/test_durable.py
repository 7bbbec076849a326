from __future__ import annotations

import errno

import pytest

from ganzoo import durable


def test_parts_become_one_file(tmp_path):
    path = tmp_path / "x"
    durable.replace(path, b"old")
    durable.replace(path, b"ne", bytearray(b"w"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "x"
    durable.replace(path, b"old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        durable.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(durable.os, name)
        monkeypatch.setattr(durable.os, name, lambda *a, name=name, real=real: (done.append(name), real(*a)))
    durable.replace(tmp_path / "x", b"content")
    assert done == ["fsync", "replace", "fsync"]  # the file, its name, the folder that has the name


def test_what_a_killed_process_left_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(durable.os, "replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(durable.Path, "unlink", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        durable.replace(tmp_path / "x", b"content")
    (tmp_path / "y").touch()
    assert [path.read_bytes() for path in durable.leftovers(tmp_path)] == [b"content"]


def test_lines_go_below_one_that_was_cut(tmp_path):
    path = tmp_path / "log"
    durable.append(path, "first\n")
    with open(path, "a") as file:
        file.write("secon")
    durable.append(path, "third\n")
    assert path.read_text() == "first\nsecon\nthird\n"


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_full_disk_comes_with_what_to_do(number, hint):
    assert ("make room" in durable.reason(OSError(number, "said"))) == hint
    assert durable.reason(OSError(number, "said")).startswith("said")
