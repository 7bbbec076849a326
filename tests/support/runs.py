"""The checkpoints of runs, in tests of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganzoo.checkpoints import checkpoint


def newest(run: Path) -> checkpoint.Checkpoint:
    """Return the newest checkpoint of a run."""
    path = checkpoint.newest(run)
    assert path is not None
    return checkpoint.read(path)


def tensors(run: Path) -> dict[str, np.ndarray]:
    """Return the arrays in a run's newest checkpoint."""
    return newest(run).tensors


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two checkpoints have the same arrays, to the bit."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
