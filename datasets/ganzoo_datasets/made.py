"""Data sets that are made here, when they are first asked for."""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from ganzoo import DataError, Dataset, DataSource, data_dir


def tell(line: str) -> None:
    """Say how the making of a set goes, beside the output of the command that needs it."""
    print(line, file=sys.stderr, flush=True)


class MadeSource(DataSource):
    """A set that a program draws into NAME.lmdb in the data directory, and, if it is `split`, validation images into
    NAME-val.lmdb beside it."""

    split: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """The LMDB that `open` makes."""
        return data_dir() / f"{self.name}.lmdb"

    @abstractmethod
    def make(self) -> None:
        """Write `path`, whole or not at all. DataError if that is impossible."""

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        try:
            if not self.ready():
                self.make()
        except DataError:
            if not self.ready():  # else another process has made it meanwhile
                raise
        try:
            return open_path(self.path, self.name)
        except DataError as error:
            what = f"{self.path} and {self.name}-val.lmdb, and they" if self.split else f"{self.path} and it"
            raise DataError(f"{error} Delete {what} will be made again.") from error
