"""Checkpoint files: safetensors, with everything that is not an array as JSON in the header. No pickle.

A file is written beside its name, flushed to the disk and renamed, so a checkpoint is whole or absent.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.data import DataInfo
from ganzoo.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.model import Model
    from ganzoo.options import Options
    from ganzoo.plugins import Registry

SUFFIX = ".safetensors"
FORMAT = 1
_KEY = "ganzoo"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: arrays by name, and the run's description (see `run_metadata`)."""

    path: Path
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]

    def model(self, registry: Registry) -> Model:
        """The model it was trained with; PluginError or OptionError if that is not installed."""
        return registry.model(self.metadata["model"])

    def options(self, model: Model) -> Options:
        """The model's options, as resolved when the run began."""
        from ganzoo.options import resolve

        return resolve(model.options, self.metadata["options"])

    @property
    def data(self) -> DataInfo:
        """The data the networks were built for."""
        info = dict(self.metadata["data"])
        return DataInfo(**{**info, "domains": tuple(info["domains"])})


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint. On CheckpointError (a full disk, say) whatever stood at `path` is untouched."""
    import numpy as np
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    data = save(contiguous, {_KEY: json.dumps({"format": FORMAT, **metadata})})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be written ({error.strerror or error}).") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. CheckpointError if the file is missing, cut, foreign or of a newer format."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            stored = (file.metadata() or {}).get(_KEY)
            if stored is None:
                raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of ganzoo.")
            metadata = json.loads(stored)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error}).") from error
    needed = {"format", "model", "options", "data", "progress"}
    if not isinstance(metadata, dict) or not needed <= metadata.keys():
        raise CheckpointError(f"{path}: its description is damaged.")
    if metadata["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {metadata['format']} is newer than this ganzoo; upgrade it.")
    return Checkpoint(path, tensors, metadata)


def newest(folder: Path) -> Path | None:
    """The checkpoint with the highest number in a run's folder."""
    return max(folder.glob(f"checkpoint-*{SUFFIX}"), default=None)


def name_at(images: int) -> str:
    """The file name of the checkpoint after `images` images, so that names sort by progress."""
    return f"checkpoint-{images:09d}{SUFFIX}"


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints."""
    for path in sorted(folder.glob(f"checkpoint-*{SUFFIX}"))[:-keep]:
        with contextlib.suppress(OSError):
            path.unlink()
