"""Small runs of every model, and functions that compare two runs, for example on different devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganzoo.checkpoints import checkpoint

NARROW = "--channels-max 16 --latent 32 --max-size 16 --phase 0.016"
# For each run, the arguments of `ganzoo train`, which need images in two folders.
RUNS = {
    "gan": "gan --size 8 --batch 8 --kimg 0.04",
    "lsgan": "lsgan --size 32 --batch 8 --kimg 0.024",
    "stylegan": f"stylegan --loss r1 --mixing {NARROW} --w-average 0.99 --batch 8 --kimg 0.056",
    # Only two steps, because the first layer normalises a constant, which amplifies rounding errors 10,000 times.
    "stylegan-paper": f"stylegan {NARROW} --architecture paper --batch 8 --kimg 0.016",
    "stargan2": "stargan2 --size 64 --channels-base 512 --channels-max 32 --hidden 32 --batch 8 --kimg 0.016",
}
# Runs of what has kernels of its own: augmentations, and images with alpha.
AUGMENTED_RUNS = {
    "lsgan-diffaugment": "lsgan --size 32 --batch 8 --augment diffaugment --alpha --kimg 0.024",
    "stylegan-ada": f"stylegan --loss r1 --conditional --augment ada --augment-p 0.8 {NARROW} --batch 8 --kimg 0.024",
}
ALL_RUNS = {**RUNS, **AUGMENTED_RUNS}


def last_checkpoint(experiments: str) -> checkpoint.Checkpoint:
    """Return the newest checkpoint of the only run in a folder."""
    return checkpoint.read(checkpoint.newest(next(Path(experiments).iterdir())))


def weight_differences(made: checkpoint.Checkpoint, expected: checkpoint.Checkpoint) -> dict[str, float]:
    """Return the relative L2 differences of the weights and EMA of each network.

    Weights whose gradient is 0 except for rounding, such as a bias before a norm, are left out: Adam turns rounding
    errors into full steps, and these weights don't affect the network's outputs.
    """
    found = {}
    moments = [name for name in expected.tensors if "/second/" in name]
    networks = {name.split("/")[1] for name in moments}
    assert made.tensors.keys() == expected.tensors.keys()
    for network in networks:
        sizes = {n.split("/")[-1]: expected.tensors[n].mean() for n in moments if n.startswith(f"adam/{network}/")}
        relevant = [name for name, size in sizes.items() if size > 1e-10 * max(sizes.values())]
        for kind in ("net", "ema"):
            names = [f"{kind}/{network}/{name}" for name in relevant if f"{kind}/{network}/{name}" in expected.tensors]
            if names:
                one, two = (_concatenated(each, names) for each in (made, expected))
                found[f"{kind}/{network}"] = float(np.linalg.norm(one - two) / np.linalg.norm(two))
    return found


def gradient_differences(made: checkpoint.Checkpoint, expected: checkpoint.Checkpoint) -> dict[str, float]:
    """Return the relative L2 difference of Adam's first moments of each network. After one step these are proportional
    to the gradients."""
    found = {}
    for network in {name.split("/")[1] for name in expected.tensors if "/first/" in name}:
        names = [name for name in expected.tensors if name.startswith(f"adam/{network}/first/")]
        one, two = (_concatenated(each, names) for each in (made, expected))
        found[network] = float(np.linalg.norm(one - two) / np.linalg.norm(two))
    return found


def _concatenated(saved: checkpoint.Checkpoint, names: list[str]) -> np.ndarray:
    return np.concatenate([saved.tensors[name].ravel() for name in names], dtype=np.float64)
