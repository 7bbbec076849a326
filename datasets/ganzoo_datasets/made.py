"""Data sets that are generated locally when they are first used."""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from ganzoo import DataError, Dataset, DataSource, data_dir


def tell(line: str) -> None:
    """Report progress on stderr, apart from the output of the command that needs the set."""
    print(line, file=sys.stderr, flush=True)


class MadeSource(DataSource):
    """A set that is generated as NAME.lmdb in the data directory, with validation images in NAME-val.lmdb if it is
    `split`."""

    split: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """The LMDB that `open` makes."""
        return data_dir() / f"{self.name}.lmdb"

    @abstractmethod
    def make(self) -> None:
        """Write `path` atomically. DataError if that fails."""

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        try:
            if not self.ready():
                self.make()
        except DataError:
            if not self.ready():  # otherwise another process has made it in the meantime
                raise
        try:
            return open_path(self.path, self.name)
        except DataError as error:
            what = f"{self.path} and {self.name}-val.lmdb, and they" if self.split else f"{self.path} and it"
            raise DataError(f"{error} Delete {what} will be made again.") from error
