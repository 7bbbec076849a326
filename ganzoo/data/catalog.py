"""From what a user wrote after --data to an open data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import DataError, OptionError, near_match
from ganzoo.files import data_dir
from ganzoo.interfaces.dataset import DataInfo, Dataset, DataSource

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.registry.plugins import Registry


def open_data(wanted: str, registry: Registry, option: str = "--data") -> Dataset:
    """The data set of that name, registered or prepared, or the folder, zip or LMDB at that path.

    DataError, naming the `option`, if there is neither; PluginError if the name belongs to a plugin that is broken.
    """
    try:
        source = registry.dataset(wanted)
    except OptionError:
        return _open_path(wanted, registry, option)
    return source.open()


def describe_data(wanted: str, registry: Registry) -> Dataset:
    """The same for a look ahead: a set that would have to be prepared first is only described, if its source can do
    that."""
    source = registry.datasets.get(wanted)
    if source is None or source.expected is None or ready(source):
        return open_data(wanted, registry)
    return Described(source.expected)


class Described(Dataset):
    """A data set of which nothing is there but its description."""

    def __init__(self, info: DataInfo) -> None:
        self.info = info

    def load(self, index: int) -> tuple[np.ndarray, int]:
        raise DataError(f"{self.info.name}: it is not prepared yet.")

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.arange(self.info.count) % max(1, len(self.info.domains))


def path_of(wanted: str, registry: Registry) -> Path | None:
    """The absolute path of what `open_data` opens, if that is no set of a name."""
    if wanted in registry.datasets or wanted in prepared():
        return None
    path = _path(wanted)
    return None if path is None else Path.cwd() / path


def former_data(described: Mapping[str, Any], registry: Registry, option: str = "--data") -> str:
    """What a run was trained on, by its description, for `open_data`: a name, or the path where the data lay, wherever
    this process was started; if nothing is there, the path that the user wrote. DataError if nothing is there either,
    OptionError if the description has no data, both with the option that helps."""
    named, lay = described.get("train", {}).get("data"), described.get("data_path")
    if not isinstance(named, str):
        raise OptionError(f"it doesn't tell what it was trained on. Name real images with {option}.")
    if isinstance(lay, str) and _path(lay) and Path(lay).exists():
        return lay
    path = path_of(named, registry)
    gone = isinstance(lay, str) if path is None else not path.exists()
    if gone:
        raise DataError(f"the data it was trained on were at {lay or named}, and are gone. Name them with {option}.")
    return named


def prepared() -> dict[str, Path]:
    """The LMDBs in the data directory, by the names under which they can be asked for."""
    return {path.stem: path for path in sorted(data_dir().glob("*.lmdb"))}


def destination(wanted: str, registry: Registry) -> Path:
    """Where a prepared data set goes: a path as it is, a name into the data directory. OptionError for a name that
    could not be asked for later."""
    if "/" in wanted or wanted.endswith(".lmdb"):
        return Path(wanted).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", wanted):
        raise OptionError(f"--out {wanted!r}: give a name of letters, digits, '.', '-' and '_', or a path.")
    # A set like `ffhq` is looked for in the data directory; `mnist` is not, and would go on being the other one.
    ours = any((data_dir() / f"{wanted}{ending}").exists() for ending in (".lmdb", ".zip", ""))
    if wanted in registry.datasets and not ours and ready(registry.datasets[wanted]):
        raise OptionError(f"--out {wanted}: a data set of that name is there already. Choose another name, or a path.")
    return data_dir() / f"{wanted}.lmdb"


def ready(source: DataSource) -> bool:
    """Whether a set is ready; a stranger's faulty answer must stop nobody."""
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
    """What was written as a path, if it can be meant as one: there is such a file, or it looks like a path."""
    try:
        path = Path(wanted).expanduser()
        return path if wanted and ("/" in wanted or path.suffix or path.exists()) else None
    except (OSError, ValueError, RuntimeError):  # too long a name, a zero byte, ~somebody unknown
        return None
