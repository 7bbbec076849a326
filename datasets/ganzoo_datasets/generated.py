"""Data sets that are generated locally when they are first used."""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from ganzoo import DataError, Dataset, DataSource, data_dir


def log(line: str) -> None:
    """Report progress on stderr, because stdout is for the output of the command that needs the set."""
    print(line, file=sys.stderr, flush=True)


class GeneratedSource(DataSource):
    """A data set that is generated as NAME.lmdb in the data directory. If it is `split`, NAME-val.lmdb holds its
    validation images."""

    split: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """The LMDB that `open` generates."""
        return data_dir() / f"{self.name}.lmdb"

    @abstractmethod
    def generate(self) -> None:
        """Write `path` atomically. DataError if that fails."""

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        try:
            if not self.ready():
                self.generate()
        except DataError:
            if not self.ready():  # otherwise another process has generated it in the meantime
                raise
        try:
            return open_path(self.path, self.name)
        except DataError as error:
            files = f"{self.path} and {self.name}-val.lmdb" if self.split else str(self.path)
            raise DataError(f"{error} Delete {files} to generate the data set again.") from error
