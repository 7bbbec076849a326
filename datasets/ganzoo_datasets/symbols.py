"""Coloured Unicode glyphs from the fonts inside matplotlib: made here, so no download and no licence to accept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import DataError, Dataset, DataSource, data_dir

if TYPE_CHECKING:
    from ganzoo_datasets.glyphs import Glyph

    Map = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]

SEED = 0


class Symbols(DataSource):
    """A stand-in for the "color symbol 7k" set of the StyleGAN ports: one image per glyph, 128 px, no domains."""

    name = "symbols"
    summary = "about 10,700 coloured Unicode glyphs, 128 px, RGB; made from fonts in half a minute"

    @property
    def path(self) -> Path:
        """The LMDB that `open` makes."""
        return data_dir() / "symbols.lmdb"

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        if not self.ready():
            build(self.path)
        try:
            return open_path(self.path, self.name)
        except DataError as error:
            raise DataError(f"{error} Delete {self.path} and it will be made again.") from error


def build(path: Path, seed: int = SEED, glyphs: Sequence[Glyph] | None = None, processes: int | None = None) -> None:
    """Draw `glyphs` (all distinct ones if None) into an LMDB at `path`, in `processes` (None: one per core).

    The same seed gives the same bytes whatever the number of processes. DataError if a font is missing, a process
    dies or the LMDB can't be written.
    """
    from ganzoo import write_lmdb
    from ganzoo_datasets.glyphs import SIDE, paint, portions

    with _workers(processes or len(os.sched_getaffinity(0))) as each:
        glyphs = _distinct(each) if glyphs is None else glyphs
        painted = each(partial(paint, seed=seed), portions(glyphs))
        files = (file for portion in painted for file in portion)
        write_lmdb(path, _progress(files, len(glyphs), "symbols: drawing"), SIDE, {"flip": False, "seed": seed})


def _distinct(each: Map) -> list[Glyph]:
    from ganzoo_datasets.glyphs import candidates, distinct, portions, signatures

    wanted = portions(list(candidates()))
    return distinct(_progress(each(signatures, wanted), len(wanted), "symbols: comparing glyphs"))


def _progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, total=total, desc=what, leave=False, delay=1)


@contextmanager
def _workers(processes: int) -> Iterator[Map]:
    """A `map` over so many processes, or the plain one for 1."""
    if processes == 1:
        yield map
        return
    # Not by fork: this process may hold Jittor with its threads.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_ignore_interrupt)
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise DataError(
            "symbols: a process that draws glyphs died; in a script of your own, open the data set "
            'under `if __name__ == "__main__":`.'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent answers for all
