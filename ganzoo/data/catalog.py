"""From what a user wrote after --data to an open data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.data import Dataset
from ganzoo.errors import DataError, OptionError, near_match

if TYPE_CHECKING:
    from ganzoo.plugins import Registry


def open_data(wanted: str, registry: Registry) -> Dataset:
    """The data set of that name, or the folder, zip or LMDB at that path.

    DataError if there is neither; PluginError if the name belongs to a plugin that is broken.
    """
    try:
        source = registry.dataset(wanted)
    except OptionError:
        return _open_path(wanted, registry)
    return source.open()


def _open_path(wanted: str, registry: Registry) -> Dataset:
    path = _path(wanted)
    if path is None:
        known = ", ".join(sorted(registry.datasets))
        hint = near_match(wanted, registry.datasets)
        raise DataError(f"--data {wanted}: neither a data set nor a path.{hint} Data sets: {known}.")
    from ganzoo.data.storage import open_path

    return open_path(path)


def _path(wanted: str) -> Path | None:
    """What was written as a path, if it can be meant as one: there is such a file, or it looks like a path."""
    try:
        path = Path(wanted).expanduser()
        return path if wanted and ("/" in wanted or path.suffix or path.exists()) else None
    except (OSError, ValueError, RuntimeError):  # too long a name, a zero byte, ~somebody unknown
        return None
