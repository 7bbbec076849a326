"""Preparation is interrupted, killed, resumed, or run by two processes at once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from ganzoo.data import lmdb_builder, preparing
from ganzoo.data.lmdb_builder import LmdbBuilder
from ganzoo.data.preparing import Summary, prepare
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.data.test_preparing import read_entries

COUNT = 150
BAD = {3: b"", 40: b"text", 110: b""}  # unreadable files by index, in both halves of the set


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    files = {f"{kind}/{index:03d}.png": encoded(noise(18, 20, seed=index)) for kind in "ab" for index in range(75)}
    for index, data in BAD.items():
        files[sorted(files)[index]] = data
    return write_folder(tmp_path / "set", files)


def prepare_photos(photos: Path, name: str = "out", sizes: tuple[int, ...] = (8, 16), **options: object) -> Summary:
    return prepare(open_path(photos), photos.parent / f"{name}.lmdb", sizes, **options)  # type: ignore[arg-type]


@contextmanager
def fail_at(monkeypatch: pytest.MonkeyPatch, done: int, error: BaseException) -> Iterator[None]:
    """Raise an error as soon as this many images are done."""
    add = LmdbBuilder.add

    def add_and_fail(self: LmdbBuilder, results: object) -> None:
        add(self, results)  # type: ignore[arg-type]
        if self.done >= done:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(LmdbBuilder, "add", add_and_fail)
        with pytest.raises(type(error)):
            yield


def assert_resumed(photos: Path, workers: int = 1) -> None:
    """Check that the next call resumes, with the same result as an uninterrupted one."""
    assert (photos.parent / "out.lmdb.preparing").is_dir()
    assert not (photos.parent / "out.lmdb").exists()
    uninterrupted, lines = prepare_photos(photos, "uninterrupted", workers=1), list[str]()
    resumed = prepare_photos(photos, workers=workers, say=lines.append)
    (line,) = [line for line in lines if line.startswith("resuming at image")]
    assert 50 <= int(line.split()[3]) < COUNT
    assert (resumed.count, resumed.bad) == (uninterrupted.count, uninterrupted.bad)
    assert len(resumed.bad) == len(BAD)
    assert read_entries(photos.parent / "out.lmdb") == read_entries(photos.parent / "uninterrupted.lmdb")
    assert not (photos.parent / "out.lmdb.preparing").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_is_resumed(photos: Path, workers: int) -> None:
    script = photos.parent / "script.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "from ganzoo.data import lmdb_builder\n"
        "from ganzoo.data.preparing import prepare\n"
        "from ganzoo.data.storage import open_path\n"
        "lmdb_builder.COMMIT_SECONDS = 0\n"
        "class KilledBuilder(lmdb_builder.LmdbBuilder):\n"
        "    def commit(self):\n"
        "        super().commit()\n"
        f"        if self.done >= {COUNT // 2}:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "lmdb_builder.LmdbBuilder = KilledBuilder\n"
        "if __name__ == '__main__':\n"
        "    source, out = map(pathlib.Path, sys.argv[1:])\n"
        f"    prepare(open_path(source), out, (8, 16), workers={workers})\n"
    )
    command = [sys.executable, str(script), str(photos), str(photos.parent / "out.lmdb")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert_resumed(photos, workers)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("x"), OSError(28, "No space left on device")])
def test_an_interrupted_preparation_is_resumed(
    photos: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with fail_at(monkeypatch, COUNT // 2, error):
        prepare_photos(photos)
    assert_resumed(photos)


def test_a_kill_before_the_first_image_is_harmless(photos: Path) -> None:
    (photos.parent / "out.lmdb.preparing").mkdir()
    (photos.parent / "out.lmdb.preparing" / "data.mdb").touch()
    assert prepare_photos(photos).count == COUNT - len(BAD)


@pytest.mark.parametrize("change", ["sizes", "lossless", "fit", "images", "names"])
def test_an_unfinished_preparation_of_other_images_or_options_is_not_resumed(
    photos: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with fail_at(monkeypatch, COUNT // 2, KeyboardInterrupt()):
        prepare_photos(photos)
    if change == "images":
        (photos / "a" / "more.png").write_bytes(encoded(noise()))
    if change == "names":
        (photos / "a" / "000.png").rename(photos / "a" / "zero.png")
    changed = {"sizes": {"sizes": (8,)}, "lossless": {"lossless": True}, "fit": {"fit": "pad"}}
    other = changed.get(change, {})
    with pytest.raises(DataError, match=r"out\.lmdb\.preparing: contains an unfinished preparation with other images"):
        prepare_photos(photos, **other)  # type: ignore[arg-type]
    if change in changed:
        assert_resumed(photos)


def test_damage_to_unfinished_work_is_an_error_with_a_remedy(photos: Path) -> None:
    (photos.parent / "out.lmdb.preparing").mkdir()
    (photos.parent / "out.lmdb.preparing" / "data.mdb").write_bytes(b"damaged" * 10_000)
    with pytest.raises(
        DataError, match=r"out\.lmdb: can't be written .*is in .*preparing: run the same command to resume, or delete"
    ):
        prepare_photos(photos)


@pytest.mark.parametrize("count", [500, 1000])
def test_many_commits_leave_a_complete_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """LMDB doesn't write free pages at the end of the file, which would then look truncated."""
    monkeypatch.setattr(lmdb_builder, "COMMIT_SECONDS", 0)
    prepare(NumberedDataset(count), tmp_path / "out.lmdb", [4], workers=1)
    assert open_path(tmp_path / "out.lmdb").info.count == count


class Slow(NumberedDataset):
    """Waits at image 40 until `resume` is set, and then raises an exception if `fails`."""

    def __init__(self, count: int, fails: bool) -> None:
        super().__init__(count)
        self.fails, self.reached, self.resume = fails, threading.Event(), threading.Event()

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index == 40:
            self.reached.set()
            assert self.resume.wait(30)
            if self.fails:
                raise ZeroDivisionError
        return super().load(index, size)


@pytest.mark.parametrize("fails", [False, True])
def test_a_second_process_waits_and_resumes_if_the_first_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    path, first_set, lines = tmp_path / "out.lmdb", Slow(64, fails), list[str]()
    monkeypatch.setattr(preparing, "SPACE_SAMPLE", 1)  # the disk use is estimated from the first image, not the 40th

    def begin() -> None:
        with suppress(ZeroDivisionError):
            prepare(first_set, path, [4], lossless=True, workers=1)

    def say(line: str) -> None:
        lines.append(line)
        if "another process is preparing it" in line:
            first_set.resume.set()

    thread = threading.Thread(target=begin)
    thread.start()
    assert first_set.reached.wait(30)
    with nullcontext() if fails else pytest.raises(DataError, match="already exists"):
        prepare(NumberedDataset(64), path, [4], lossless=True, workers=1, say=say)
    thread.join()
    assert ("resuming at image 32 of 64" in lines) is fails
    data = open_path(path)
    assert [data.load(index)[0][0, 0] for index in range(64)] == list(range(64))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.lmdb"]


@pytest.mark.parametrize("finished", [False, True])
def test_the_folder_is_checked_again_after_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The other process has failed and removed the folder, or has finished, which leaves nothing to do."""
    path, lock, calls = tmp_path / "out.lmdb", lmdb_builder._lock, list[int]()

    def lock_late(file: IO[str], busy: Callable[[], None]) -> None:
        lock(file, busy)
        calls.append(1)
        if len(calls) == 1:
            path.mkdir() if finished else shutil.rmtree(tmp_path / "out.lmdb.preparing")

    monkeypatch.setattr(lmdb_builder, "_lock", lock_late)
    if finished:
        with pytest.raises(DataError, match="already exists"):
            prepare(NumberedDataset(3), path, [4], workers=1)
    else:
        assert prepare(NumberedDataset(3), path, [4], workers=1).count == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.lmdb"]


def test_a_folder_that_keeps_disappearing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_builder, "_open_lock_file", lambda lock: None)
    with pytest.raises(DataError, match=r"can't be written \(other processes keep moving or deleting"):
        prepare(NumberedDataset(3), tmp_path / "out.lmdb", [4], workers=1)
