"""From what a user wrote after --data to an open data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.data import Dataset
from ganzoo.errors import DataError, near_match

if TYPE_CHECKING:
    from ganzoo.plugins import Registry


def open_data(wanted: str, registry: Registry) -> Dataset:
    """The data set of that name, or the folder, zip or LMDB at that path. DataError if there is neither."""
    if wanted in registry.datasets:
        return registry.datasets[wanted].open()
    path = Path(wanted).expanduser()
    if path.exists() or "/" in wanted or path.suffix:
        from ganzoo.data.storage import open_path

        return open_path(path)
    known = ", ".join(sorted(registry.datasets))
    hint = near_match(wanted, registry.datasets)
    raise DataError(f"--data {wanted}: neither a data set nor a path.{hint} Data sets: {known}.")
