"""Resumable construction of an LMDB: by one process at a time, and moved into place only when complete."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Any

import lmdb

from ganzoo.data.lmdb_storage import LMDB_METADATA
from ganzoo.data.writing import Writer, space, unwritable
from ganzoo.errors import DataError, reason
from ganzoo.files import data_dir

DATA = "data.mdb"  # as LMDB calls it
LOCK = "lock"  # lock file in the folder; deleted after the folder has been moved into place
ATTEMPTS = 100  # at locking a folder that other processes move or delete
COMMIT_SECONDS = 5.0  # how much work a crash or a power failure can cost
COMMIT_BYTES = 256 << 20  # LMDB keeps a transaction in memory

# Temporary keys, deleted when the LMDB is complete: the plan, and one part for each group of source images added. A
# part's key holds the index of its first image; its value the index after its last image ('stop'), the labels of the
# readable images and the messages for the unreadable ones ('bad').
PLAN = b"ganzoo-plan"
PART = b"ganzoo-part-"

Prepared = tuple[list[bytes], int]  # an image's files, one per size, and its label


class Building:
    """An LMDB being built. `done` source images have been processed: `labels` has a label for each readable one, `bad`
    a message for each unreadable one."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.sizes = folder, plan["sizes"]
        self.done, self.labels, self.bad = 0, list[int](), list[str]()
        self.worthless = False  # if set, the LMDB is deleted unless it is finished
        self._writer = Writer(folder, lock=False)  # `_held` locks out other processes
        self._committed, self._bytes = time.monotonic(), 0
        try:
            self._continue(plan)
        except BaseException:
            self.close()
            raise

    def _continue(self, plan: dict[str, Any]) -> None:
        wanted = json.dumps(plan, sort_keys=True).encode()
        stored = self._writer.transaction.get(PLAN)
        if stored is None:
            self._writer.put(PLAN, wanted)
        elif stored != wanted:
            raise DataError(
                f"{self.folder}: holds an unfinished preparation of other images or with other options. Give the same "
                "command again to finish that one, or delete this folder to start anew."
            )
        for _, value in self._parts():
            part = json.loads(value)
            self.done = part["stop"]
            self.labels += part["labels"]
            self.bad += part["bad"]

    def _parts(self) -> Iterator[tuple[bytes, bytes]]:
        with self._writer.transaction.cursor() as cursor:
            if cursor.set_range(PART):
                for key, value in cursor:
                    if not key.startswith(PART):
                        return
                    yield key, value

    def add(self, results: Sequence[Prepared | str]) -> None:
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
        stop = self.done + len(results)
        part = {"stop": stop, "labels": labels, "bad": bad}
        entries.append((PART + b"%012d" % self.done, json.dumps(part).encode()))
        self._bytes += sum(len(value) for _, value in entries)
        self._writer.reserve(sum(space(value) for _, value in entries))  # no commit may split these entries
        for key, value in entries:
            self._writer.put(key, value)
        self.done = stop
        self.labels += labels
        self.bad += bad
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit what was added, so that a crash can't lose it."""
        self._writer.commit()
        self._committed, self._bytes = time.monotonic(), 0

    def finish(self, metadata: dict[str, Any]) -> None:
        """Write the length and the metadata, and delete the temporary keys."""
        parts = {key: len(value) for key, value in self._parts()}
        self._writer.reserve(sum(parts.values()))  # LMDB copies their pages before it frees them
        for key in [PLAN, *parts]:
            self._writer.transaction.delete(key)
        self._writer.put(b"length", str(len(self.labels)).encode())
        self._writer.put(LMDB_METADATA, json.dumps(metadata).encode())
        self.commit()
        # LMDB doesn't write free pages at the end of the file, which would then look truncated.
        file = self.folder / DATA
        env = self._writer.env
        whole = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        os.truncate(file, max(whole, file.stat().st_size))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def building(path: Path, plan: dict[str, Any], say: Callable[[str], None]) -> Iterator[Building]:
    """Start or resume an LMDB, and move it to `path` if the block ends without an exception.

    Otherwise the unfinished LMDB stays beside `path`, and the next call with an equal `plan` (JSON types; its 'sizes'
    are the image sizes) resumes it. Waits while another process builds the same LMDB. DataError if `path` exists, if an
    LMDB with another plan is unfinished there, or if it can't be written.
    """
    folder = path.with_name(f"{path.name}.preparing")
    try:
        with _held(path, folder, say):
            new = not (folder / DATA).exists()
            try:
                begun = Building(folder, plan)
            except BaseException:
                if new:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            try:
                yield begun
                begun.close()
            except BaseException:
                with suppress(lmdb.Error):  # the first error is the one to report
                    begun.close()
                if not begun.labels or begun.worthless:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            folder.rename(path)
            (path / LOCK).unlink()
    except lmdb.Error as error:
        kept = f" {folder} holds what was done: the same command continues it, deleting it starts anew."
        kept = kept if folder.exists() else ""
        raise DataError(f"{path}: {unwritable(error)}{kept}") from error


def refuse_taken(path: Path) -> None:
    """Raise DataError if `path` exists."""
    if path.exists():
        raise DataError(f"{path}: is there already. Delete it first, or choose another name.")


@contextmanager
def _held(path: Path, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lock `folder`, in which `path` is built, for this process."""
    for _ in range(ATTEMPTS):
        refuse_taken(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _opened(folder / LOCK)
        except OSError as error:
            ours = data_dir() in path.absolute().parents
            remedy = " Set GANZOO_DATA to another folder." if ours else ""
            raise DataError(f"{path}: can't be written ({reason(error)}).{remedy}") from error
        if file is None:
            continue  # another process has just finished and moved the folder
        with file:
            _lock(file, lambda: say(f"{path}: another process prepares it; waiting for that one"))
            if not _is_at(file, folder / LOCK):
                continue
            if path.exists():  # another process finished it before we had the lock
                shutil.rmtree(folder, ignore_errors=True)
                continue
            yield
            return
    raise DataError(f"{path}: can't be written (other processes move or delete {folder} again and again).")


def _opened(lock: Path) -> IO[str] | None:
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
            # A child started by the holder of the lock, importing its script: waiting would be a deadlock.
            raise DataError('this must stand under `if __name__ == "__main__":` in a script of your own.') from None
        busy()
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: IO[str], path: Path) -> bool:
    """Return whether `path` still refers to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
