"""The checkpoints of trained models that plugins bring, named zoo:NAME."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.checkpoints.checkpoint import Checkpoint, read, read_description
from ganzoo.errors import CheckpointError, CorruptCheckpointError, reason
from ganzoo.files import open_regular

if TYPE_CHECKING:
    from ganzoo.interfaces.zoo import ZooModel
    from ganzoo.registry.plugins import Registry

PREFIX = "zoo:"
_BLOCK = 1 << 20


def read_zoo_model(name: str, registry: Registry) -> Checkpoint:
    """Read the checkpoint of the trained model called `name`, without the prefix. OptionError, listing the names there
    are, if there is none; CheckpointError if its file is not the one that the plugin was published with."""
    entry = registry.zoo_model(name)
    found = sha256_of(entry.file)
    if found != entry.sha256:
        plugin = registry.plugin_of("zoo_models", name)
        raise CorruptCheckpointError(
            f"{PREFIX}{name}: {entry.file} was truncated or altered: its SHA-256 is {found[:16]}..., not "
            f"{entry.sha256[:16]}... Reinstall {plugin.distribution if plugin else 'its plugin'}, or restore the file "
            "with `git checkout` in a clone."
        )
    return read(entry.file)


def describe(entry: ZooModel) -> dict[str, Any]:
    """Return what a trained model's card and its checkpoint's header say, ready for JSON: the fields of `ZooModel`, and
    `model`, `options`, `size` (px), `channels`, `data`, `domains`, `kimg` and `bytes`. CheckpointError if the
    checkpoint can't be read; its checksums are not verified."""
    run, state = read_description(entry.file)
    assert run.data is not None  # `read_description` requires it
    return {
        **vars(entry),
        "file": str(entry.file),
        "metrics": dict(entry.metrics),
        "picture": None if entry.picture is None else str(entry.picture),
        "model": run.model,
        "options": {**(run.train or {}), **run.options},
        "size": state.position.size if state.position else run.data.size,
        "channels": run.data.channels,
        "data": run.data.name,
        "domains": list(run.data.domains),
        "kimg": state.progress.kimg,
        "bytes": entry.file.stat().st_size,
    }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. CheckpointError if it can't be read."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({reason(error)}).") from error
    return digest.hexdigest()
