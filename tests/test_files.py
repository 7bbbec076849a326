from __future__ import annotations

import errno

import pytest

from ganzoo.errors import OptionError
from ganzoo.files import (
    Path,
    append_lines,
    atomic_folder,
    atomic_path,
    atomic_write,
    format_bytes,
    leftovers,
    os,
    output_folder,
    write_error,
)


def test_parts_are_concatenated(tmp_path):
    path = tmp_path / "x"
    atomic_write(path, b"old")
    atomic_write(path, b"ne", bytearray(b"w"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "x"
    atomic_write(path, b"old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (done.append(name), real(*a)))
    atomic_write(tmp_path / "x", b"content")
    assert done == ["fsync", "replace", "fsync"]  # the file, its new name, the folder


def test_temporary_files_of_killed_processes_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(Path, "unlink", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "x", b"content")
    (tmp_path / "y").touch()
    assert [path.read_bytes() for path in leftovers(tmp_path)] == [b"content"]


def test_a_path_gets_the_new_file_only_if_the_block_succeeds(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_only_if_the_block_succeeds(tmp_path):
    folder = tmp_path / "folder"

    def fail():
        with atomic_folder(folder) as temporary:
            (temporary / "x").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(folder) as temporary:
        (temporary / "x").touch()
        assert not folder.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "x"]


@pytest.mark.parametrize("kind", ["file", "empty folder", "folder"])
def test_a_path_created_by_another_process_in_the_meantime_is_kept(tmp_path, kind):
    path = tmp_path / "set"
    with atomic_folder(path) as temporary:
        (temporary / "mine").touch()
        if kind == "file":
            path.touch()
        else:
            path.mkdir()
            if kind == "folder":
                (path / "theirs").touch()
    assert [each.name for each in tmp_path.rglob("*")] == (["set", "theirs"] if kind == "folder" else ["set"])


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, atomic_path(tmp_path / "x"):
        (tmp_path / "nowhere").read_text()
    assert error.value.filename == str(tmp_path / "nowhere")


def test_appended_lines_start_on_a_new_line(tmp_path):
    path = tmp_path / "log"
    append_lines(path, "first\n")
    with open(path, "a") as file:
        file.write("secon")
    append_lines(path, "third\n")
    assert path.read_text() == "first\nsecon\nthird\n"


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path):
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "nowhere/x", tmp_path / "there"):
        with pytest.raises(OSError, match="director") as error:
            atomic_write(path, b"content")
        assert (error.value.filename, error.value.filename2) == (str(path), None)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_the_error_for_a_full_disk_has_advice(number, hint):
    assert ("free some space" in write_error(OSError(number, "said"))) == hint
    assert write_error(OSError(number, "said")).startswith("said")


def test_an_empty_output_folder_is_removed_after_an_error(tmp_path):
    def fail(path, name):
        with output_folder(path, "--out") as out:
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


def test_the_error_for_an_output_folder_names_the_option(tmp_path):
    (tmp_path / "file").write_text("")
    expected = pytest.raises(OptionError, match=r"--out .*file/x: can't be created \(Not a directory\)")
    with expected, output_folder(tmp_path / "file" / "x", "--out"):
        pass


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (81_234, "81 kB"), (2.5e6, "2.5 MB"), (5e12, "5000.0 GB")]
)
def test_bytes_are_shown_with_a_decimal_unit(count: float, words: str) -> None:
    assert format_bytes(count) == words
