"""The sizes of a run's networks, from the header of a checkpoint, without Jittor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import GanzooError


def count_parameters(folder: Path) -> dict[str, int]:
    """Return the number of trainable parameters of each network of a run. It is empty without a checkpoint, or if the
    checkpoint doesn't say which arrays are trained."""
    for path in reversed(checkpoint.list_checkpoints(folder)):
        try:
            metadata, shapes = checkpoint.read_description(path)[1], checkpoint.read_shapes(path)
        except GanzooError:  # damaged, or deleted meanwhile
            continue
        return {
            network: sum(math.prod(shapes.get(f"net/{network}/{weight}", (0,))) for weight in steps)
            for network, steps in metadata.optimizer_steps.items()
            if isinstance(steps, Mapping)
        }
    return {}
