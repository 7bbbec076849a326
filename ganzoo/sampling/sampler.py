"""Sampling of images from latents. `ganzoo.sampling.styles` extends it for style-based generators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.sampling.latents import PATHS, lerp, loop

MAX_CHUNK = 64  # images generated at once
MAX_PIXELS = 2**18  # pixels generated at once, if the image size is known: 16 images of 128 px
Key = tuple[int, ...]  # determines the noise of an image: its seed and, in a video, its frame


class Sampler:
    """Generates images from codes. The code of an image is a vector, here the latent z (latent,), followed by the label
    (classes,) if the generator is class-conditional.

    An image depends only on its code and key, not on the other images in its chunk.
    """

    space = "z"

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.classes: int = generator.classes

    def code(self, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Return the codes of latents z (N, latent) and labels (N, classes), between which walks interpolate."""
        return self._join(z, labels)

    def _join(self, vectors: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Append the labels to vectors (N, length)."""
        if labels is None and self.classes:
            raise ValueError("a class-conditional generator needs labels")
        return vectors if labels is None else np.concatenate([vectors, labels], -1)

    def split(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split codes (..., length) into their vectors and labels (..., classes)."""
        length = codes.shape[-1] - self.classes
        return codes[..., :length], codes[..., length:]

    @property
    def walk_centre(self) -> Any:
        """The point around which spherical walks turn, a number or an array as long as a code's vector."""
        return 0.0

    def walk(self, codes: np.ndarray, steps: int, path: str) -> Iterator[np.ndarray]:
        """Yield a closed walk through codes (K, ..., length), `steps` points from each code to the next. Vectors are
        interpolated on a path in `PATHS`, labels linearly."""
        vectors, labels = self.split(codes)
        walk = loop(vectors, steps, PATHS[path], self.walk_centre)
        if not self.classes:
            yield from walk
            return
        for vector, label in zip(walk, loop(labels, steps, lerp)):
            yield self._join(vector, label)

    def inputs(self, codes: np.ndarray) -> list[Any]:
        """Return the inputs of the generator for codes (N, length), as Vars: latents and, if it has classes, labels."""
        parts = self.split(codes) if self.classes else (codes,)
        return [jittor().array(np.ascontiguousarray(part)) for part in parts]

    def generate_batch(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Generate images uint8 (N, H, W, C) from N codes and their keys in one batch."""
        with jittor().no_grad():
            return to_uint8(self.generator(*self.inputs(codes)).numpy())

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


def generate(generator: Any, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Generate images uint8 (N, H, W, C) from latents (N, latent) and, if the generator has classes, labels
    (N, classes), in chunks that fit in memory."""
    return np.concatenate(list(stream(generator, z, labels)))


def stream(generator: Any, z: np.ndarray, labels: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the images of `generate`, chunk by chunk."""
    sampler, count = Sampler(generator), chunk_size(generator)
    codes = sampler.code(z, labels)
    for start in range(0, len(codes), count):
        yield sampler.generate_batch(codes[start : start + count], ())
    run_pending()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Convert floats (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), clipping and rounding."""
    scaled = np.rint((images + 1.0) * 127.5)
    bounded = np.nan_to_num(np.clip(scaled, 0, 255))  # a diverged network may output NaN
    return bounded.astype(np.uint8).transpose(0, 2, 3, 1)
