"""Our own checkpoints: damaged files, and files with a valid checksum but an invalid header."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints import checkpoint, loading
from ganzoo.checkpoints.description import SchedulePosition, StateMetadata
from ganzoo.interfaces.progress import Progress
from tests.fuzz.edits import Choices, edit_bytes, edit_tree, ganzoo_errors_allowed, to_json
from tests.fuzz.models import MODELS, REGISTRY, check_options, description

TINY_RUN_OPTIONS: dict[str, dict[str, Any]] = {
    "stylegan": {"max_size": 8, "latent": 2, "mapping_layers": 1, "channels_base": 16, "channels_max": 2},
    "stargan2": {"size": 64, "latent": 2, "hidden": 2, "style": 2, "channels_base": 64, "channels_max": 2},
}
NO_CHECKSUM = b"0" * 64  # placeholder while the checksum is computed


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    backend.start("cpu")
    return [_written(*each) for each in TINY_RUN_OPTIONS.items()]


def _written(name: str, options: dict[str, Any]) -> bytes:
    """Return a checkpoint whose weights are all zero."""
    model = MODELS[name]
    described = description(model, options)
    networks = model.build(
        described.model_options(model), described.data, described.train_options(model.defaults)
    ).networks
    tensors = {
        f"{kind}/{network}/{key}": np.zeros(tuple(var.shape), np.float32)
        for network, each in networks.items()
        for kind in ("net", "ema")
        for key, var in each.state().items()
    }
    position = SchedulePosition(0, described.data.size, 1.0)
    state = StateMetadata(Progress(3, 12, 0, 12), position, {}, ("generator",))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.safetensors"
        checkpoint.write(path, tensors, described, state)
        return path.read_bytes()


def _file_from(choices: Choices) -> bytes:
    kind = choices.below(4)
    if kind == 0:
        return choices.rest()
    seed = choices.pick(seeds())
    if kind == 1:
        return edit_bytes(choices, seed)
    length = int.from_bytes(seed[:8], "little")
    header, content = json.loads(seed[8 : 8 + length]), seed[8 + length :]
    metadata = header.pop("__metadata__")
    if kind == 2:
        metadata["ganzoo"] = to_json(edit_tree(choices, json.loads(metadata["ganzoo"]))).decode()
    else:
        header = edit_tree(choices, header)
    if isinstance(header, dict):
        header = {"__metadata__": {**metadata, "sha256": NO_CHECKSUM.decode()}, **header}
    return with_checksum(to_json(header), content)


def with_checksum(header: bytes, content: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    whole = len(header).to_bytes(8, "little") + header + content
    return whole.replace(NO_CHECKSUM, hashlib.sha256(whole).hexdigest().encode(), 1)


def check(data: bytes) -> None:
    backend.start("cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(_file_from(Choices(data)))
        with ganzoo_errors_allowed():
            saved = checkpoint.read(path)
            model = saved.model(REGISTRY)
            with ganzoo_errors_allowed():
                check_options(model, saved.run.train_options(model.defaults), saved.options(model), saved.data)
            loading.trained_sizes(saved, REGISTRY)  # before loading, as `ganzoo generate` does
            with ganzoo_errors_allowed():
                loading.load_generator(saved, REGISTRY)
            if model.conditional:
                loading.load_translator(saved, REGISTRY)
