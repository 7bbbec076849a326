"""Resumable construction of an LMDB: by one process at a time, and moved into place only when complete."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import current_process
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import lmdb

from ganzoo.data.lmdb_storage import LMDB_METADATA, LMDB_NAMES
from ganzoo.data.lmdb_writer import LmdbWriter, stored_size, write_failure
from ganzoo.errors import DataError, reason
from ganzoo.files import data_dir

DATA_FILE = "data.mdb"  # LMDB's name for it
LOCK_FILE = "lock"  # lock file in the folder; deleted after the folder has been moved into place
LOCK_ATTEMPTS = 100  # at locking a folder that other processes move or delete
COMMIT_SECONDS = 5.0  # seconds of work that a crash or a power failure can cost
COMMIT_BYTES = 256 << 20  # of a transaction, which LMDB keeps in memory

# Temporary keys, deleted when the LMDB is complete: the plan, and one for each group of source images added. A group's
# key contains the index of its first image; its value contains the index after its last image ('stop'), the labels of
# the readable images, and the messages for the unreadable ones ('bad') with their indices ('skipped').
PLAN_KEY = b"ganzoo-plan"
GROUP_KEY = b"ganzoo-part-"

PreparedImage = tuple[list[bytes], int]  # an image's files, one per size, and its label


class LmdbBuilder:
    """An LMDB under construction. `done` source images have been processed: `labels` has a label for each readable one,
    `bad` a message for each unreadable one, and `skipped` its index."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.sizes = folder, plan["sizes"]
        self.done, self.labels, self.bad, self.skipped = 0, list[int](), list[str](), list[int]()
        self.discard = False  # if set, the LMDB is deleted unless it is finished
        self._writer = LmdbWriter(folder, lock=False)  # `_locked_folder` locks out other processes
        self._committed, self._bytes = time.monotonic(), 0
        try:
            self._resume(plan)
        except BaseException:
            self.close()
            raise

    def _resume(self, plan: dict[str, Any]) -> None:
        wanted = json.dumps(plan, sort_keys=True).encode()
        stored = self._writer.transaction.get(PLAN_KEY)
        if stored is None:
            self._writer.put(PLAN_KEY, wanted)
        elif stored != wanted:
            raise DataError(
                f"{self.folder}: contains an unfinished preparation with other images or options. Repeat that command "
                "to finish it, or delete this folder to start over."
            )
        for _, value in self._groups():
            group = json.loads(value)
            self.done = group["stop"]
            self.labels += group["labels"]
            self.bad += group["bad"]
            self.skipped += group["skipped"]

    def _groups(self) -> Iterator[tuple[bytes, bytes]]:
        with self._writer.transaction.cursor() as cursor:
            if cursor.set_range(GROUP_KEY):
                for key, value in cursor:
                    if not key.startswith(GROUP_KEY):
                        return
                    yield key, value

    def add(self, results: Sequence[PreparedImage | str]) -> None:
        """Add the next source images, each as a prepared image or as a message that says why it is unreadable."""
        labels, entries = list[int](), list[tuple[bytes, bytes]]()
        for result in results:
            if isinstance(result, str):
                continue
            files, label = result
            number = len(self.labels) + len(labels)
            entries += [(f"{size}-{number:05d}".encode(), data) for size, data in zip(self.sizes, files)]
            labels.append(label)
        bad = [result for result in results if isinstance(result, str)]
        skipped = [self.done + place for place, result in enumerate(results) if isinstance(result, str)]
        stop = self.done + len(results)
        group = {"stop": stop, "labels": labels, "bad": bad, "skipped": skipped}
        entries.append((GROUP_KEY + b"%012d" % self.done, json.dumps(group).encode()))
        self._bytes += sum(len(value) for _, value in entries)
        self._writer.reserve(sum(stored_size(value) for _, value in entries))  # no commit may split these entries
        for key, value in entries:
            self._writer.put(key, value)
        self.done = stop
        self.labels += labels
        self.bad += bad
        self.skipped += skipped
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit what was added, so that a crash can't lose it."""
        self._writer.commit()
        self._committed, self._bytes = time.monotonic(), 0

    def finish(
        self,
        metadata: dict[str, Any],
        names: Sequence[str] | None = None,
        entries: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        """Write the length, the metadata, the images' names, if they have any, and other `entries`, and delete the
        temporary keys."""
        groups = {key: len(value) for key, value in self._groups()}
        self._writer.reserve(sum(groups.values()))  # LMDB copies their pages before it frees them
        for key in [PLAN_KEY, *groups]:
            self._writer.transaction.delete(key)
        self._writer.put(b"length", str(len(self.labels)).encode())
        self._writer.put(LMDB_METADATA, json.dumps(metadata).encode())
        if names is not None:
            self._writer.put(LMDB_NAMES, json.dumps(names).encode())
        for key, value in entries.items():
            self._writer.put(key, value)
        self.commit()
        # LMDB doesn't write free pages at the end of the file, so the file would look truncated.
        file = self.folder / DATA_FILE
        env = self._writer.env
        full_size = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        os.truncate(file, max(full_size, file.stat().st_size))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def build_lmdb(path: Path, plan: dict[str, Any], say: Callable[[str], None]) -> Iterator[LmdbBuilder]:
    """Start or resume an LMDB, and move it to `path` if the block ends without an exception.

    Otherwise the unfinished LMDB stays beside `path`, and the next call with an equal `plan` (JSON types; its 'sizes'
    are the image sizes) resumes it. Waits while another process builds the same LMDB. DataError if `path` exists, if an
    LMDB with another plan is unfinished there, or if it can't be written.
    """
    folder = path.with_name(f"{path.name}.preparing")
    try:
        with _locked_folder(path, folder, say):
            new = not (folder / DATA_FILE).exists()
            try:
                builder = LmdbBuilder(folder, plan)
            except BaseException:
                if new:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            try:
                yield builder
                builder.close()
            except BaseException:
                with suppress(lmdb.Error):  # the first error is the one to report
                    builder.close()
                if not builder.labels or builder.discard:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            folder.rename(path)
            (path / LOCK_FILE).unlink()
    except lmdb.Error as error:
        hint = f" The unfinished work is in {folder}: run the same command to resume, or delete it to start over."
        raise DataError(f"{path}: {write_failure(error)}{hint if folder.exists() else ''}") from error


def check_absent(path: Path) -> None:
    """Raise DataError if `path` exists."""
    if path.exists():
        raise DataError(f"{path}: already exists. Delete it first, or choose another name.")


@contextmanager
def _locked_folder(path: Path, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lock `folder`, in which `path` is built, for this process."""
    for _ in range(LOCK_ATTEMPTS):
        check_absent(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _open_lock_file(folder / LOCK_FILE)
        except OSError as error:
            in_data_dir = data_dir() in path.absolute().parents
            remedy = " Set GANZOO_DATA to another folder." if in_data_dir else ""
            raise DataError(f"{path}: can't be written ({reason(error)}).{remedy}") from error
        if file is None:
            continue  # another process has just finished and moved the folder
        with file:
            _lock(file, lambda: say(f"{path}: another process is preparing it; waiting"))
            if not _is_open_file(file, folder / LOCK_FILE):
                continue
            if path.exists():  # another process finished it before we had the lock
                shutil.rmtree(folder, ignore_errors=True)
                continue
            yield
            return
    raise DataError(f"{path}: can't be written (other processes keep moving or deleting {folder}).")


def _open_lock_file(lock: Path) -> IO[str] | None:
    """Open the lock file; return None if its folder is gone."""
    try:
        return open(lock, "a")
    except FileNotFoundError:
        return None


def _lock(file: IO[str], busy: Callable[[], None]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if getattr(current_process(), "_inheriting", False):
            # The lock's holder started this process, which is importing its script: waiting would be a deadlock.
            raise DataError('in a script, call this under `if __name__ == "__main__":`.') from None
        busy()
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_open_file(file: IO[str], path: Path) -> bool:
    """Return whether `path` still refers to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
