"""Export of a checkpoint: a smaller file with what generating images needs, or a start with its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.checkpoint import ATTRIBUTES, Checkpoint
from ganzoo.checkpoints.loading import build_setup
from ganzoo.errors import CheckpointError, OptionError

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry


def export(
    saved: Checkpoint, registry: Registry, path: Path, *, slim: bool = False, all_networks: bool = False
) -> None:
    """Write the networks that generate images, their EMA weights if there are any, to a checkpoint file that can be
    loaded but not resumed. With `slim`, weights are stored as float16; with `all_networks`, those that only training
    needs are written as well. Paths of this machine are left out.

    Jittor must have been started. OptionError if `path` exists or is not a .safetensors file, or if the checkpoint does
    not have `all_networks`; CheckpointError if a weight exceeds the range of float16, or the file can't be written.
    """
    if path.suffix != checkpoint.SUFFIX:
        raise OptionError(f"--out {path}: the name must end in {checkpoint.SUFFIX}.")
    if path.exists():
        raise OptionError(f"--out {path}: already exists. Delete it first, or choose another name.")
    setup = build_setup(saved, saved.model(registry))
    names = list(setup.weighted_networks()) if all_networks else setup.sampling_networks()
    if all_networks and (
        absent := [name for name in names if setup.networks[name].state() and not saved.has_network(name)]
    ):
        raise OptionError(f"--all-networks: {saved.path} was itself exported, without {', '.join(absent)}.")
    tensors = dict(_tensors(saved, names, slim))
    ema = tuple(name for name in names if name in saved.metadata.ema)
    metadata = replace(saved.metadata, optimizer_steps={}, ema=ema, ada=None)
    train = dict(saved.run.train or {})
    if saved.run.data_path is not None:
        train["data"] = saved.data.name
    lineage = saved.run.lineage and replace(saved.run.lineage, source=saved.run.lineage.name)
    checkpoint.write(path, tensors, replace(saved.run, train=train, data_path=None, lineage=lineage), metadata)


def _tensors(saved: Checkpoint, names: list[str], slim: bool) -> Iterator[tuple[str, np.ndarray]]:
    prefixes = tuple(f"{'ema' if name in saved.metadata.ema else 'net'}/{name}/" for name in names)
    for name, value in saved.tensors.items():
        if name == ATTRIBUTES:
            yield name, value
        elif name.startswith(prefixes):
            yield name, _as_float16(saved, name, value) if slim else value


def _as_float16(saved: Checkpoint, name: str, value: np.ndarray) -> np.ndarray:
    if value.dtype != np.float32:
        return value
    if np.abs(value).max(initial=0) > np.finfo(np.float16).max:
        raise CheckpointError(f"{saved.path}: {name} is too large for float16; export it without --slim.")
    return value.astype(np.float16)
