"""Small runs of every model, and how far apart two of them end: for other numbers of processes, other devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganzoo.checkpoints import checkpoint

NARROW = "--channels-max 16 --latent 32 --max-size 16 --phase 0.016"
RUNS = {
    "gan": "gan --size 8 --batch 8 --kimg 0.04",
    "lsgan": "lsgan --size 32 --batch 8 --kimg 0.024",
    "stylegan": f"stylegan --loss r1 --mixing {NARROW} --w-average 0.99 --batch 8 --kimg 0.056",
    # Two steps: its first layer normalises a constant, which makes rounding ten thousand times as large.
    "stylegan-paper": f"stylegan {NARROW} --architecture paper --batch 8 --kimg 0.016",
    "stargan2": "stargan2 --size 64 --channels-base 512 --channels-max 32 --hidden 32 --batch 8 --kimg 0.016",
}


def last(experiments: str) -> checkpoint.Checkpoint:
    return checkpoint.read(checkpoint.newest(next(Path(experiments).iterdir())))


def differences(made: checkpoint.Checkpoint, expected: checkpoint.Checkpoint) -> dict[str, float]:
    """How far weights and averages are apart, of each network, as a share of their length.

    Weights whose gradient is 0 but for rounding, as a bias has that a norm takes away again, are left out: Adam makes
    whole steps of the rounding, and nothing that a network computes depends on them.
    """
    found = {}
    moments = [name for name in expected.tensors if "/second/" in name]
    networks = {name.split("/")[1] for name in moments}
    assert made.tensors.keys() == expected.tensors.keys()
    for network in networks:
        sizes = {n.split("/")[-1]: expected.tensors[n].mean() for n in moments if n.startswith(f"adam/{network}/")}
        matter = [name for name, size in sizes.items() if size > 1e-10 * max(sizes.values())]
        for kind in ("net", "ema"):
            names = [f"{kind}/{network}/{name}" for name in matter if f"{kind}/{network}/{name}" in expected.tensors]
            if names:
                one, two = (_joined(each, names) for each in (made, expected))
                found[f"{kind}/{network}"] = float(np.linalg.norm(one - two) / np.linalg.norm(two))
    return found


def gradients(made: checkpoint.Checkpoint, expected: checkpoint.Checkpoint) -> dict[str, float]:
    """The same for Adam's first moments, which after one step are the gradients times a number."""
    found = {}
    for network in {name.split("/")[1] for name in expected.tensors if "/first/" in name}:
        names = [name for name in expected.tensors if name.startswith(f"adam/{network}/first/")]
        one, two = (_joined(each, names) for each in (made, expected))
        found[network] = float(np.linalg.norm(one - two) / np.linalg.norm(two))
    return found


def _joined(saved: checkpoint.Checkpoint, names: list[str]) -> np.ndarray:
    return np.concatenate([saved.tensors[name].ravel() for name in names], dtype=np.float64)
