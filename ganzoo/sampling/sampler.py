"""Sampling of images from latents. `ganzoo.sampling.styles` extends it for style-based generators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending

MAX_CHUNK = 64  # images generated at once
MAX_PIXELS = 2**18  # pixels generated at once, if the image size is known: 16 images of 128 px
Key = tuple[int, ...]  # determines the noise of an image: its seed and, in a video, its frame


class Sampler:
    """Generates images from codes. In this class, the code of an image is its latent z (latent,).

    An image depends only on its code and key, not on the other images in its chunk.
    """

    space = "z"

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def code(self, z: np.ndarray) -> np.ndarray:
        """Return the codes of latents z (N, latent), between which walks interpolate."""
        return z

    @property
    def walk_centre(self) -> Any:
        """The point around which spherical walks turn, a number or an array as long as a code."""
        return 0.0

    def generate_batch(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Generate images uint8 (N, H, W, C) from N codes and their keys in one batch."""
        jt = jittor()
        with jt.no_grad():
            return to_uint8(self.generator(jt.array(codes)).numpy())

    def stream(self, codes: Iterable[tuple[np.ndarray, Key]]) -> Iterator[np.ndarray]:
        """Yield an image uint8 (H, W, C) for each code and its key, generated in chunks that fit in memory."""
        remaining, count = iter(codes), chunk_size(self.generator)
        while chunk := list(islice(remaining, count)):
            yield from self.generate_batch(np.stack([code for code, _ in chunk]), [key for _, key in chunk])
            run_pending()


def chunk_size(generator: Any) -> int:
    """Return how many images to generate at once with this generator."""
    from ganzoo.interfaces.networks import StyleGenerator

    if not isinstance(generator, StyleGenerator):
        return MAX_CHUNK
    return min(MAX_CHUNK, max(1, MAX_PIXELS // max(generator.noise_sizes()) ** 2))


def generate(generator: Any, z: np.ndarray) -> np.ndarray:
    """Generate images uint8 (N, H, W, C) from latents (N, length), in chunks that fit in memory."""
    return np.concatenate(list(stream(generator, z)))


def stream(generator: Any, z: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images of `generate`, chunk by chunk."""
    sampler, count = Sampler(generator), chunk_size(generator)
    for start in range(0, len(z), count):
        yield sampler.generate_batch(z[start : start + count], ())
    run_pending()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Convert floats (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), clipping and rounding."""
    scaled = np.rint((images + 1.0) * 127.5)
    bounded = np.nan_to_num(np.clip(scaled, 0, 255))  # a diverged network may output NaN
    return bounded.astype(np.uint8).transpose(0, 2, 3, 1)
