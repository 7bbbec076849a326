"""Checkpoint files: safetensors, with everything that is not an array as JSON in the header. No pickle.

A file contains its own SHA-256 checksum, and appears under its name only when it is completely on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.errors import CheckpointError, CorruptCheckpointError, reason
from ganzoo.files import atomic_write, open_regular, write_error
from ganzoo.interfaces.dataset import DataInfo

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options
    from ganzoo.registry.plugins import Registry

SUFFIX = ".safetensors"
FORMAT = 2  # format 1 had no checksum
ATTRIBUTES = "data/attributes"  # tensor with the attributes of some training images, from which seeds choose
_NAME = re.compile(rf"checkpoint-([0-9]+){re.escape(SUFFIX)}")
_DESCRIPTION, _CHECKSUM = "ganzoo", "sha256"
_NO_CHECKSUM = b"0" * 64  # placeholder while the checksum is computed
_BLOCK = 1 << 24
_MAX_HEADER = 100_000_000  # bytes; the limit in the safetensors library
_DTYPE_LETTERS = {"f": "F", "i": "I", "u": "U"}  # NumPy's kind -> the letter in safetensors


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file: arrays by name, the description of the run, and the rest of the training state."""

    path: Path
    tensors: dict[str, np.ndarray]
    run: RunDescription
    metadata: StateMetadata

    def model(self, registry: Registry) -> Model:
        """Return the model that was trained. PluginError or OptionError if it is not available."""
        return registry.model(self.run.model)

    def options(self, model: Model) -> Options:
        """Return the model's options, as resolved at the start of the run."""
        return self.run.model_options(model)

    @property
    def data(self) -> DataInfo:
        """The data the networks were built for."""
        assert self.run.data is not None  # `read` requires it
        return self.run.data

    def has_network(self, name: str) -> bool:
        """Return whether the file has weights of a network."""
        return any(key.startswith((f"net/{name}/", f"ema/{name}/")) for key in self.tensors)


def write(path: Path, tensors: Mapping[str, np.ndarray], run: RunDescription, metadata: StateMetadata) -> None:
    """Write a checkpoint. On CheckpointError (a full disk, say) an existing file at `path` is left unchanged.

    Equal content always gives identical bytes.
    """
    _write(path, *_encode(tensors.items(), run, metadata))


def _encode(
    tensors: Iterable[tuple[str, np.ndarray]], run: RunDescription, metadata: StateMetadata
) -> tuple[bytes, bytearray]:
    """Return the header, with a placeholder for the checksum, and the content of the file.

    All arrays are in one buffer, so that a thread can hash and write them without acquiring the GIL in between: Jittor
    does not release the GIL during a training step.
    """
    import numpy as np

    layout: dict[str, Any] = {}
    content = bytearray()
    for name, value in tensors:
        start = len(content)
        content += np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        layout[name] = {"dtype": _dtype_name(value), "shape": value.shape, "data_offsets": (start, len(content))}
    # The checksum comes first, so that replacing the first match of the placeholder replaces the checksum.
    entries = {"format": FORMAT, **run.to_json(), **metadata.to_json()}
    description = {_CHECKSUM: _NO_CHECKSUM.decode(), _DESCRIPTION: json.dumps(entries)}
    header = json.dumps({"__metadata__": description, **layout}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, content


def _dtype_name(value: np.ndarray) -> str:
    return "BOOL" if value.dtype == bool else f"{_DTYPE_LETTERS[value.dtype.kind]}{8 * value.dtype.itemsize}"


def _write(path: Path, header: bytes, content: bytearray) -> None:
    digest = hashlib.sha256(header)
    digest.update(content)
    try:
        atomic_write(path, header.replace(_NO_CHECKSUM, digest.hexdigest().encode(), 1), content)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be written ({write_error(error)}).") from error


class Writer:
    """Writes checkpoints, one at a time, in a background thread while training continues.

    `on_saved` is called in that thread with the path of each checkpoint, once it is on disk. The next `save` or `wait`
    raises the error of a failed write (CheckpointError) or of `on_saved`.
    """

    def __init__(self, on_saved: Callable[[Path], None]) -> None:
        self.on_saved = on_saved
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(
        self, path: Path, tensors: Iterable[tuple[str, np.ndarray]], run: RunDescription, metadata: StateMetadata
    ) -> None:
        """Wait until the previous checkpoint is written, since there may not be memory for two. Then copy the arrays,
        and return while they are being written."""
        self.wait()
        header, content = _encode(tensors, run, metadata)
        self._thread = threading.Thread(target=self._run, args=(path, header, content), name="ganzoo-checkpoint")
        self._thread.start()

    def _run(self, path: Path, header: bytes, content: bytearray) -> None:
        try:
            _write(path, header, content)
            self.on_saved(path)
        except BaseException as error:  # raised in the training thread by `wait`
            self._failure = error

    def wait(self) -> None:
        """Wait until the checkpoint is written. Raise the error if writing or `on_saved` failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if isinstance(failure, CheckpointError):
            raise CheckpointError(f"{failure} Fix this, then continue with --resume.") from failure
        if failure is not None:
            raise failure


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. CorruptCheckpointError if the file is truncated, altered or not a ganzoo checkpoint;
    CheckpointError if it is missing, unreadable or of a newer format."""
    from safetensors import SafetensorError, safe_open

    with _described_errors(path):
        run, metadata = _read_header(path, verify=True)
        try:
            with safe_open(str(path), framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise ValueError(error) from error
    return Checkpoint(path, tensors, run, metadata)


def read_description(path: Path) -> tuple[RunDescription, StateMetadata]:
    """Read only what a checkpoint's header says about it, without verifying the checksum. Errors as for `read`."""
    with _described_errors(path):
        return _read_header(path, verify=False)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read only the shapes of the arrays in a checkpoint, without verifying the checksum. Errors as for `read`."""
    with _described_errors(path), open_regular(path) as file:
        layout = _parse_header(path, _read_header_bytes(file))
        entries = {name: entry for name, entry in layout.items() if name != "__metadata__"}
        if not all(isinstance(entry, dict) and _is_shape(entry.get("shape")) for entry in entries.values()):
            raise ValueError("a shape in its header is invalid")
        return {name: tuple(entry["shape"]) for name, entry in entries.items()}


@contextlib.contextmanager
def _described_errors(path: Path) -> Iterator[None]:
    """Turn what reading a file can raise into the errors of `read`."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({reason(error)}).") from error
    except (ValueError, RecursionError, TypeError) as error:
        raise CorruptCheckpointError(f"{path}: not an intact checkpoint ({error}).") from error


def _read_header(path: Path, verify: bool) -> tuple[RunDescription, StateMetadata]:
    """Return the descriptions in the header. With `verify`, check the file's checksum (format 1 has none)."""
    with open_regular(path) as file:
        header = _read_header_bytes(file)
        metadata = _parse_header(path, header)["__metadata__"]
        entries = json.loads(metadata[_DESCRIPTION])
        if isinstance(entries, dict) and type(entries.get("format")) is int and entries["format"] > FORMAT:
            raise CheckpointError(f"{path}: format {entries['format']} is newer than this ganzoo; upgrade it.")
        try:
            found = RunDescription.from_json(entries, required=("data",)), StateMetadata.from_json(entries)
        except ValueError as error:
            raise CorruptCheckpointError(f"{path}: its description is damaged ({error}).") from error
        if verify and entries.get("format") != 1:
            _verify_checksum(file, header, str(metadata.get(_CHECKSUM, "")).encode())
    return found


def _read_header_bytes(file: Any) -> bytes:
    length = int.from_bytes(file.read(8), "little")
    if length > _MAX_HEADER:
        raise ValueError("its header is invalid")
    header: bytes = file.read(length)
    return header


def _parse_header(path: Path, header: bytes) -> dict[str, Any]:
    """Return the entries of a header: '__metadata__', with a description, and the layout of each array."""
    layout = json.loads(header)
    metadata = layout.get("__metadata__") if isinstance(layout, dict) else None
    if not isinstance(metadata, dict) or _DESCRIPTION not in metadata:
        raise CorruptCheckpointError(f"{path}: a safetensors file, but not a checkpoint of ganzoo.")
    return dict(layout)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)


def _verify_checksum(file: Any, header: bytes, checksum: bytes) -> None:
    digest = hashlib.sha256(len(header).to_bytes(8, "little") + header.replace(checksum, _NO_CHECKSUM, 1))
    while block := file.read(_BLOCK):
        digest.update(block)
    if digest.hexdigest().encode() != checksum:
        raise ValueError("wrong checksum: the file was truncated or altered")


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a run's folder, intact or damaged, newest last. Files with other names, such as a user's
    copy of a checkpoint, are ignored."""
    found = (path for path in folder.glob(f"checkpoint-*{SUFFIX}") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (images_seen(path), path.name))


def newest(folder: Path) -> Path | None:
    """Return the checkpoint with the highest number in a run's folder; None if there is none."""
    return next(reversed(list_checkpoints(folder)), None)


def newest_intact(folder: Path, on_damaged: Callable[[Path, CorruptCheckpointError], None]) -> Checkpoint | None:
    """Return the newest intact checkpoint of a run; None if the run has no checkpoint.

    `on_damaged` is called with each newer, damaged checkpoint and its error. CorruptCheckpointError if all checkpoints
    are damaged.
    """
    failure: CorruptCheckpointError | None = None
    for path in reversed(list_checkpoints(folder)):
        try:
            return read(path)
        except CorruptCheckpointError as error:
            failure = error
            on_damaged(path, error)
    if failure is not None:
        raise failure
    return None


def with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `prefix`, with the prefix removed."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def attribute_rows(tensors: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Return the attributes of some of the training data, float32 (K, count), from a checkpoint's arrays.
    CheckpointError if they are missing or damaged."""
    import numpy as np

    rows = tensors.get(ATTRIBUTES)
    if rows is None:
        raise CheckpointError("the checkpoint has no attributes of the training data, which its generator needs.")
    valid = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) > 0 and rows.shape[1] == count
    if not (valid and np.isfinite(rows).all()):
        raise CheckpointError(f"the attributes in the checkpoint are not rows of {count} finite numbers.")
    return rows


def file_name(images: int) -> str:
    """Return the file name of a checkpoint made after `images` training images."""
    return f"checkpoint-{images:09d}{SUFFIX}"


def images_seen(path: Path) -> int:
    """Return, from a checkpoint's file name, the number of training images after which it was made."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a checkpoint")
    return int(match[1])


def prune(folder: Path, keep: int, best: Path | None = None) -> None:
    """Delete all checkpoints except `best` and the newest `keep`."""
    for path in list_checkpoints(folder)[:-keep]:
        if path != best:
            with contextlib.suppress(OSError):
                path.unlink()
