"""Data sets that are prepared from files which the user has downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ganzoo import DataError, Dataset, DataSource, data_dir


class FromFilesSource(DataSource):
    """A data set that `ganzoo data prepare NAME --from FILE` stores as NAME.lmdb in the data directory.

    `missing` is the error for a set that is not there: why, and how to get it.
    """

    missing: ClassVar[str]

    @property
    def path(self) -> Path:
        """The LMDB that `ganzoo data prepare` writes."""
        return data_dir() / f"{self.name}.lmdb"

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        if not self.ready():
            raise DataError(f"{self.name}: {self.missing}\nThen --data {self.name} works.")
        return open_path(self.path, self.name)
