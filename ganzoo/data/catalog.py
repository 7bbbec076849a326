"""Finding and opening the data set that the user names with --data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import DataError, OptionError, did_you_mean, printable
from ganzoo.files import data_dir
from ganzoo.interfaces.dataset import DataInfo, Dataset, DataSource

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.registry.plugins import Registry


def open_data(
    name_or_path: str, registry: Registry, option: str = "--data", *, labels: str | None = None, alpha: bool = False
) -> Dataset:
    """Open the data set of that name, registered or prepared, or the folder, zip archive or LMDB at that path, with its
    default labels or with others (see `with_labels`). With `alpha`, keep its transparency (see `Dataset.with_alpha`).

    DataError, naming the `option`, if nothing is found; PluginError if the name belongs to a broken plugin; OptionError
    if the images can't have these labels.
    """
    try:
        source = registry.dataset(name_or_path)
    except OptionError:
        dataset = _open_path(name_or_path, registry, option, labels)
    else:
        dataset = source.open()
        if labels is not None:
            from ganzoo.data.labelling import with_labels

            dataset = with_labels(dataset, labels)
    return dataset.with_alpha() if alpha else dataset


def describe_data(name_or_path: str, registry: Registry, *, labels: str | None = None, alpha: bool = False) -> Dataset:
    """Like `open_data`, but for a dry run: if a set is not ready and its source declares `expected` properties, return
    a description of the set instead of preparing it. DataError if that would need other labels than the default."""
    source = registry.datasets.get(name_or_path)
    if source is None or source.expected is None or is_ready(source):
        return open_data(name_or_path, registry, labels=labels, alpha=alpha)
    if labels is not None:
        raise DataError(
            f"{name_or_path}: not prepared yet, so its labels for --labels {printable(labels)} are unknown. Prepare it "
            f"with `ganzoo data check {name_or_path}`."
        )
    described = DescribedDataset(source.expected)
    return described.with_alpha() if alpha else described


class DescribedDataset(Dataset):
    """A data set that isn't prepared yet: it has a description, but no images."""

    def __init__(self, info: DataInfo) -> None:
        self.info = info

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        raise DataError(f"{self.info.name}: not prepared yet.")

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.arange(self.info.count) % max(1, len(self.info.domains))

    def names(self) -> list[str]:
        return [str(index // max(1, len(self.info.domains))) for index in range(self.info.count)]

    def attributes(self) -> np.ndarray:
        import numpy as np

        return np.zeros((self.info.count, len(self.info.attributes)), np.float32)


def path_of(name_or_path: str, registry: Registry) -> Path | None:
    """Return the absolute path that `open_data` opens; None if `name_or_path` is a name."""
    if name_or_path in registry.datasets or name_or_path in prepared():
        return None
    path = _path(name_or_path)
    return None if path is None else Path.cwd() / path


def training_data_of(given: str | None, former_path: str | None, registry: Registry, option: str = "--data") -> str:
    """Return the name or path with which `open_data` opens the data that a run was trained on.

    This is `former_path`, absolute, if it still exists; otherwise `given`, the name or path that the user gave.
    DataError if the data are gone, OptionError if `given` is None; both suggest `option`.
    """
    if given is None:
        raise OptionError(f"it doesn't record its training data. Name real images with {option}.")
    if former_path and _path(former_path) and Path(former_path).exists():
        return former_path
    path = path_of(given, registry)
    gone = former_path is not None if path is None else not path.exists()
    if gone:
        raise DataError(
            f"its training data are no longer at {former_path or given}. Give their location with {option}."
        )
    return given


def prepared() -> dict[str, Path]:
    """Return the LMDBs in the data directory, by the names that --data accepts for them."""
    return {path.stem: path for path in sorted(data_dir().glob("*.lmdb"))}


def destination(name_or_path: str, registry: Registry) -> Path:
    """Return the path at which to store a prepared data set: the given path (it contains a '/', or ends in .lmdb, .zip
    or .parquet), or for a name an LMDB in the data directory. OptionError for a name by which the set could not be
    opened later."""
    if "/" in name_or_path or name_or_path.endswith((".lmdb", ".zip", ".parquet")):
        return Path(name_or_path).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", name_or_path):
        raise OptionError(f"--out {name_or_path!r}: give a name of letters, digits, '.', '-' and '_', or a path.")
    # A source like `ffhq` opens the set in the data directory, but `mnist` would still open its own images.
    in_data_dir = any((data_dir() / f"{name_or_path}{ending}").exists() for ending in (".lmdb", ".zip", ""))
    if name_or_path in registry.datasets and not in_data_dir and is_ready(registry.datasets[name_or_path]):
        raise OptionError(
            f"--out {name_or_path}: a data set with this name already exists. Choose another name, or a path."
        )
    return data_dir() / f"{name_or_path}.lmdb"


def is_ready(source: DataSource) -> bool:
    """Return whether a set is ready; False if its plugin raises an exception."""
    try:
        return bool(source.ready())
    except Exception:
        return False


def _open_path(name_or_path: str, registry: Registry, option: str, labels: str | None) -> Dataset:
    stored = prepared()
    path = stored.get(name_or_path) or _path(name_or_path)
    if path is None:
        known = sorted({*registry.datasets, *stored})
        hint = did_you_mean(name_or_path, known)
        raise DataError(f"{option} {name_or_path}: neither a data set nor a path.{hint} Data sets: {', '.join(known)}.")
    from ganzoo.data.storage import open_path

    return open_path(path, labels=labels)


def _path(name_or_path: str) -> Path | None:
    """Return `name_or_path` as a path if it looks like a path or exists, otherwise None."""
    try:
        path = Path(name_or_path).expanduser()
        return path if name_or_path and ("/" in name_or_path or path.suffix or path.exists()) else None
    except (OSError, ValueError, RuntimeError):  # name too long, null byte, or ~USER of an unknown user
        return None
