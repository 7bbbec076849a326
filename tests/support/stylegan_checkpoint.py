"""A checkpoint of a small, untrained style-based generator with visible noise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS = {"init_size": 4, "latent": 16, "mapping_layers": 2, "channels_base": 256, "channels_max": 16}
SIZES = [4, 8, 16, 32]


def write_checkpoint(path: Path, size: int = 32, alpha: float = 1.0) -> Any:
    """Write the checkpoint, as if training had reached `size` px. Return the checkpoint, read from the file, and the
    registry."""
    from ganzoo import DataInfo, TrainOptions
    from ganzoo.checkpoints import checkpoint
    from ganzoo.checkpoints.description import RunDescription, SchedulePosition
    from ganzoo.interfaces.options import resolve
    from ganzoo.registry import plugins
    from ganzoo.training.state import TrainState

    registry = plugins.load()
    model = registry.model("stylegan")
    options, train = resolve(model.options, OPTIONS), resolve(TrainOptions, {}, model.defaults)
    data = DataInfo("nothing", count=12, size=32, channels=3)
    state = TrainState(model, options, data, train)
    rng = np.random.default_rng(0)
    tensors = {
        name: 0.3 * rng.standard_normal(value.shape, "f4") if name.endswith(".noise") else value
        for name, value in state.tensors().items()
    }
    description = RunDescription("stylegan", options.to_dict(), data=data)
    metadata = dataclasses.replace(state.metadata(), position=SchedulePosition(SIZES.index(size), size, alpha))
    checkpoint.write(path, tensors, description, metadata)
    return checkpoint.read(path), registry
