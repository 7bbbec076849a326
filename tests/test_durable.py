from __future__ import annotations

import errno

import pytest

from ganzoo import durable
from ganzoo.errors import OptionError


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


def test_an_error_names_the_file_and_not_what_is_written_beside_it(tmp_path):
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "nowhere/x", tmp_path / "there"):
        with pytest.raises(OSError, match="director") as told:
            durable.replace(path, b"content")
        assert (told.value.filename, told.value.filename2) == (str(path), None)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_full_disk_comes_with_what_to_do(number, hint):
    assert ("make room" in durable.unwritable(OSError(number, "said"))) == hint
    assert durable.unwritable(OSError(number, "said")).startswith("said")


def test_a_folder_that_an_error_leaves_empty_goes_again(tmp_path):
    def fail(path, name):
        with durable.folder(path, "--out") as out:
            (out / "pair" / "deep").mkdir(parents=True)
            if name:
                (out / name).write_text("made")
            raise KeyboardInterrupt

    (tmp_path / "there").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "new" / "out", "")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "new" / "out", "image")
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["image"]
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "there", "")
    assert (tmp_path / "there").exists()


def test_a_folder_that_cannot_be_made_is_told_with_its_option(tmp_path):
    (tmp_path / "file").write_text("")
    expected = pytest.raises(OptionError, match=r"--out .*file/x: can't be made \(Not a directory\)")
    with expected, durable.folder(tmp_path / "file" / "x", "--out"):
        pass
