"""From seeds to latents to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.data import DataInfo
from ganzoo.training.checkpoint import Checkpoint

CHUNK = 64  # images generated at once
NOISE = 7  # seed of the constant noise maps


def load_generator(checkpoint: Checkpoint, registry: Any) -> Any:
    """The generator to sample, in inference mode, from nothing but a checkpoint: its average where there is one."""
    from ganzoo.training.state import part

    model = checkpoint.model(registry)
    data: DataInfo = checkpoint.data
    setup = model.build(checkpoint.options(model), data)
    averaged = setup.generator in checkpoint.metadata.get("averaged", [])
    network = setup.networks[setup.generator]
    network.load_state(part(checkpoint.tensors, f"{'ema' if averaged else 'net'}/{setup.generator}/"))
    moment = checkpoint.metadata.get("moment", {})
    network.grow(moment.get("size", data.size), moment.get("alpha", 1.0))
    network.eval()
    return network


def latents(seeds: Sequence[int], length: int) -> np.ndarray:
    """A standard normal latent per seed, (len(seeds), length), the same on every machine and in every company."""
    drawn = [np.random.default_rng(seed).standard_normal(length, dtype=np.float32) for seed in seeds]
    return np.stack(drawn)


def constant_noise(sizes: Sequence[int], count: int) -> list[np.ndarray]:
    """Noise maps (count, 1, side, side) for a style-based generator: one per side, the same for every image, always."""
    maps = [np.random.default_rng([NOISE, n]).standard_normal((1, 1, side, side), "f4") for n, side in enumerate(sizes)]
    return [np.repeat(each, count, 0) for each in maps]


def generate(generator: Any, z: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, C) for latents (N, length), in chunks that fit memory."""
    return np.concatenate(list(stream(generator, z)))


def stream(generator: Any, z: np.ndarray) -> Iterator[np.ndarray]:
    """As `generate`, chunk by chunk."""
    jt = jittor()
    for at in range(0, len(z), CHUNK):
        chunk = z[at : at + CHUNK]
        with jt.no_grad():
            images = generator(jt.array(chunk)).numpy()
        yield to_uint8(images)
    run_pending()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C)."""
    scaled = np.rint((images + 1.0) * 127.5)
    return np.clip(scaled, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation between two latents (Shoemake 1985), which keeps a Gaussian latent's typical length."""
    norms = np.linalg.norm(start) * np.linalg.norm(end)
    angle = np.arccos(np.clip(np.dot(start, end) / norms, -1.0, 1.0)) if norms else 0.0
    if np.sin(angle) < 1e-6:
        return (1 - t) * start + t * end
    return (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)


def loop(keys: np.ndarray, steps: int) -> np.ndarray:
    """A closed walk through latents (K, length): `steps` frames from each key to the next and back to the first.

    Returns (K * steps, length); frame i * steps is key i.
    """
    frames = []
    for index, key in enumerate(keys):
        following = keys[(index + 1) % len(keys)]
        frames += [slerp(key, following, step / steps) for step in range(steps)]
    return np.stack(frames).astype(np.float32)
