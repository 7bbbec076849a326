"""Checkpoint files: safetensors, with everything that is not an array as JSON in the header. No pickle.

A file holds its own SHA-256, and appears under its name only when it is on the disk as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints.description import data_info, fault
from ganzoo.errors import CheckpointError, DamagedError, reason
from ganzoo.files import atomic_write, open_regular, write_error
from ganzoo.interfaces.dataset import DataInfo

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options
    from ganzoo.registry.plugins import Registry

SUFFIX = ".safetensors"
FORMAT = 2  # 1 had no checksum
_NAME = re.compile(rf"checkpoint-([0-9]+){re.escape(SUFFIX)}")
_DESCRIPTION, _CHECKSUM = "ganzoo", "sha256"
_NO_CHECKSUM = b"0" * 64  # stands in its place while it is computed
_BLOCK = 1 << 24
_LONGEST_HEADER = 100_000_000  # bytes, as the library has it
_KINDS = {"f": "F", "i": "I", "u": "U"}  # NumPy's letters and those of safetensors


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
        from ganzoo.interfaces.options import resolve

        return resolve(model.options, self.metadata["options"], stored=True)

    @property
    def data(self) -> DataInfo:
        """The data the networks were built for."""
        return data_info(self.metadata["data"])


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint. On CheckpointError (a full disk, say) whatever stood at `path` is untouched.

    The same content always gives the same bytes.
    """
    _write(path, *_encode(tensors.items(), metadata))


def _encode(tensors: Iterable[tuple[str, np.ndarray]], metadata: Mapping[str, Any]) -> tuple[bytes, bytearray]:
    """The header, still without its checksum, and the content of the file.

    All arrays are in one piece, so that a thread can hash and write them without asking for Python's lock in between:
    Jittor holds that lock for as long as a step takes.
    """
    import numpy as np

    layout: dict[str, Any] = {}
    content = bytearray()
    for name, value in tensors:
        start = len(content)
        content += np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        layout[name] = {"dtype": _kind(value), "shape": value.shape, "data_offsets": (start, len(content))}
    # The checksum comes first, so that nothing that looks like it stands before it.
    description = {_CHECKSUM: _NO_CHECKSUM.decode(), _DESCRIPTION: json.dumps({"format": FORMAT, **metadata})}
    header = json.dumps({"__metadata__": description, **layout}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, content


def _kind(value: np.ndarray) -> str:
    return "BOOL" if value.dtype == bool else f"{_KINDS[value.dtype.kind]}{8 * value.dtype.itemsize}"


def _write(path: Path, header: bytes, content: bytearray) -> None:
    digest = hashlib.sha256(header)
    digest.update(content)
    try:
        atomic_write(path, header.replace(_NO_CHECKSUM, digest.hexdigest().encode(), 1), content)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be written ({write_error(error)}).") from error


class Writer:
    """Writes checkpoints in a thread, one at a time, while training goes on.

    `on_saved` is called there with the path of each that is on the disk. What went wrong is raised, as CheckpointError,
    by the next `save` or `wait`.
    """

    def __init__(self, on_saved: Callable[[Path], None]) -> None:
        self.on_saved = on_saved
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(self, path: Path, tensors: Iterable[tuple[str, np.ndarray]], metadata: Mapping[str, Any]) -> None:
        """Copy the arrays, and return while they are written. Waits for the former checkpoint, as there may not be
        the memory for two."""
        self.wait()
        header, content = _encode(tensors, metadata)
        self._thread = threading.Thread(target=self._run, args=(path, header, content), name="ganzoo-checkpoint")
        self._thread.start()

    def _run(self, path: Path, header: bytes, content: bytearray) -> None:
        try:
            _write(path, header, content)
            self.on_saved(path)
        except BaseException as error:  # it belongs to the thread that trains
            self._failure = error

    def wait(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if isinstance(failure, CheckpointError):
            raise CheckpointError(f"{failure} Once that is mended, go on with --resume.") from failure
        if failure is not None:
            raise failure


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. DamagedError if the file is cut, changed or foreign, CheckpointError if it is missing, can't
    be read or is of a newer format."""
    from safetensors import SafetensorError, safe_open

    try:
        metadata = _description(path)
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({reason(error)}).") from error
    except (SafetensorError, ValueError, RecursionError, TypeError) as error:
        raise DamagedError(f"{path}: not a whole checkpoint ({error}).") from error
    return Checkpoint(path, tensors, metadata)


def _description(path: Path) -> dict[str, Any]:
    """What the header says of the run, after the whole file is seen to be as it was written."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError("it does not begin as one")
        header = file.read(length)
        layout = json.loads(header)
        said = layout.get("__metadata__") if isinstance(layout, dict) else None
        if not isinstance(said, dict) or _DESCRIPTION not in said:
            raise DamagedError(f"{path}: a safetensors file, but not a checkpoint of ganzoo.")
        metadata = json.loads(said[_DESCRIPTION])
        if isinstance(metadata, dict) and type(metadata.get("format")) is int and metadata["format"] > FORMAT:
            raise CheckpointError(f"{path}: format {metadata['format']} is newer than this ganzoo; upgrade it.")
        if fault(metadata) or not {"format", "data", "progress"} <= metadata.keys():
            raise DamagedError(f"{path}: its description is damaged.")
        if metadata["format"] != 1:
            _check(file, length, header, str(said.get(_CHECKSUM, "")).encode())
    return metadata


def _check(file: Any, length: int, header: bytes, checksum: bytes) -> None:
    digest = hashlib.sha256(length.to_bytes(8, "little") + header.replace(checksum, _NO_CHECKSUM, 1))
    while block := file.read(_BLOCK):
        digest.update(block)
    if digest.hexdigest().encode() != checksum:
        raise ValueError("its checksum is wrong: it was cut or changed")


def names(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, whole or not, the newest last. Files with other names, a copy that somebody
    keeps beside them say, are none."""
    found = (path for path in folder.glob(f"checkpoint-*{SUFFIX}") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (images_of(path), path.name))


def newest(folder: Path) -> Path | None:
    """The checkpoint with the highest number in a run's folder."""
    return next(reversed(names(folder)), None)


def newest_whole(folder: Path, on_damaged: Callable[[Path, DamagedError], None]) -> Checkpoint | None:
    """The newest checkpoint of a run that is as it was written; None if the run has none at all.

    `on_damaged` gets each newer one and its error; DamagedError if no checkpoint is whole.
    """
    failure: DamagedError | None = None
    for path in reversed(names(folder)):
        try:
            return read(path)
        except DamagedError as error:
            failure = error
            on_damaged(path, error)
    if failure is not None:
        raise failure
    return None


def part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def name_at(images: int) -> str:
    """The file name of the checkpoint after `images` images."""
    return f"checkpoint-{images:09d}{SUFFIX}"


def images_of(path: Path) -> int:
    """After how many images a checkpoint was made, by its name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a checkpoint")
    return int(match[1])


def prune(folder: Path, keep: int, best: Path | None = None) -> None:
    """Delete all checkpoints but the newest `keep` and the `best`."""
    for path in names(folder)[:-keep]:
        if path != best:
            with contextlib.suppress(OSError):
                path.unlink()
