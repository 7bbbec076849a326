"""Finding and opening the data set that the user names with --data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import DataError, OptionError, near_match
from ganzoo.files import data_dir
from ganzoo.interfaces.dataset import DataInfo, Dataset, DataSource

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.registry.plugins import Registry


def open_data(wanted: str, registry: Registry, option: str = "--data") -> Dataset:
    """Open the data set of that name, registered or prepared, or the folder, zip archive or LMDB at that path.

    DataError, naming the `option`, if there is neither; PluginError if the name belongs to a broken plugin.
    """
    try:
        source = registry.dataset(wanted)
    except OptionError:
        return _open_path(wanted, registry, option)
    return source.open()


def describe_data(wanted: str, registry: Registry) -> Dataset:
    """Like `open_data`, but for a dry run: a set that would have to be prepared first is only described, if its source
    declares what is `expected`."""
    source = registry.datasets.get(wanted)
    if source is None or source.expected is None or ready(source):
        return open_data(wanted, registry)
    return Described(source.expected)


class Described(Dataset):
    """A data set that isn't prepared yet: it has a description, but no images."""

    def __init__(self, info: DataInfo) -> None:
        self.info = info

    def load(self, index: int) -> tuple[np.ndarray, int]:
        raise DataError(f"{self.info.name}: it is not prepared yet.")

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.arange(self.info.count) % max(1, len(self.info.domains))


def path_of(wanted: str, registry: Registry) -> Path | None:
    """Return the absolute path of what `open_data` opens; None if `wanted` is a name."""
    if wanted in registry.datasets or wanted in prepared():
        return None
    path = _path(wanted)
    return None if path is None else Path.cwd() / path


def former_data(named: str | None, lay: str | None, registry: Registry, option: str = "--data") -> str:
    """Return the name or path with which `open_data` opens the data that a run was trained on.

    This is their former absolute path `lay` if it still exists, otherwise `named`, the name or path that the user gave.
    DataError if the data are gone, OptionError if `named` is None; both suggest `option`.
    """
    if named is None:
        raise OptionError(f"it doesn't tell what it was trained on. Name real images with {option}.")
    if lay and _path(lay) and Path(lay).exists():
        return lay
    path = path_of(named, registry)
    gone = lay is not None if path is None else not path.exists()
    if gone:
        raise DataError(f"the data it was trained on were at {lay or named}, and are gone. Name them with {option}.")
    return named


def prepared() -> dict[str, Path]:
    """Return the LMDBs in the data directory, by the names that --data accepts for them."""
    return {path.stem: path for path in sorted(data_dir().glob("*.lmdb"))}


def destination(wanted: str, registry: Registry) -> Path:
    """Return the path at which to store a prepared data set: a path as it is, for a name an LMDB in the data directory.
    OptionError for a name by which the set could not be opened later."""
    if "/" in wanted or wanted.endswith(".lmdb"):
        return Path(wanted).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", wanted):
        raise OptionError(f"--out {wanted!r}: give a name of letters, digits, '.', '-' and '_', or a path.")
    # A source like `ffhq` opens what is in the data directory; `mnist` does not, and would still open its own set.
    ours = any((data_dir() / f"{wanted}{ending}").exists() for ending in (".lmdb", ".zip", ""))
    if wanted in registry.datasets and not ours and ready(registry.datasets[wanted]):
        raise OptionError(f"--out {wanted}: a data set of that name is there already. Choose another name, or a path.")
    return data_dir() / f"{wanted}.lmdb"


def ready(source: DataSource) -> bool:
    """Return whether a set is ready; False if its plugin raises an exception."""
    try:
        return bool(source.ready())
    except Exception:
        return False


def _open_path(wanted: str, registry: Registry, option: str) -> Dataset:
    stored = prepared()
    path = stored.get(wanted) or _path(wanted)
    if path is None:
        known = sorted({*registry.datasets, *stored})
        hint = near_match(wanted, known)
        raise DataError(f"{option} {wanted}: neither a data set nor a path.{hint} Data sets: {', '.join(known)}.")
    from ganzoo.data.storage import open_path

    return open_path(path)


def _path(wanted: str) -> Path | None:
    """Return `wanted` as a path if it looks like a path or exists, otherwise None."""
    try:
        path = Path(wanted).expanduser()
        return path if wanted and ("/" in wanted or path.suffix or path.exists()) else None
    except (OSError, ValueError, RuntimeError):  # name too long, null byte, or ~USER of an unknown user
        return None
